"""The store: schemas, versions and their files, records, publications, lock, retention."""
