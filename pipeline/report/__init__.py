"""The page of a run: from run.json and the table of examples to one file that needs nothing."""
