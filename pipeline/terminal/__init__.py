"""Output of commands: lines, tables, colours and progress."""
