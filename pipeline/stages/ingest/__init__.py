"""The stage ingest: catalogue -> items and quarantine."""
