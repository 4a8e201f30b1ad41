"""Where a store's files are: on a file system that all hosts see, or in an object store."""
