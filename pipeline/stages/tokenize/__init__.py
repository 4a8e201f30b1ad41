"""The stage tokenize: items -> tokens."""
