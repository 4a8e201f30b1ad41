"""Clusters: how large Spark's processes should be, trials of that, and submitting to one."""
