"""One item of a published version: what it is, what its neighbours are, and why."""
