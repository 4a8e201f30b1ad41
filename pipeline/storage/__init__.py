"""Files and objects under one interface: a file system that all hosts see, or an object store."""
