"""Export of the published table to a database, a cache or files: one folder for each target."""
