"""One run: what is asked for, what is reused and why, and the record of it."""
