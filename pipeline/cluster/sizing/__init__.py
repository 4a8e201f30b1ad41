"""Sizing: Spark's settings for a cluster, from its nodes, the model and the catalogue."""
