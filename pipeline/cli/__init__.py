"""The command `nitamono`: its verbs, their arguments, and what they print."""
