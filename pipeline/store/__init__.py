"""The store: table schemas, versions and their files, records, publications, lock, retention."""
