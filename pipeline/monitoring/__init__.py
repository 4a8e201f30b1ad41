"""Who is told of a run: notices, metrics and lineage events, and the events of the log."""
