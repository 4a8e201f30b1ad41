"""Tuning: the search for executors' cores and memory, by trials on the cluster itself."""
