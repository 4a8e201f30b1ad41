"""Export to files of JSON Lines."""
