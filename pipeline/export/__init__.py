"""The published table into a database, a cache, or files: one module a target."""
