"""What is printed: lines, tables, colours and progress."""
