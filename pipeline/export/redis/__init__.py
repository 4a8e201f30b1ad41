"""Export to redis."""
