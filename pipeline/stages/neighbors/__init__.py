"""The stage neighbors: lists -> neighbors, short_lists and recall."""
