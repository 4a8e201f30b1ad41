"""Export to PostgreSQL."""
