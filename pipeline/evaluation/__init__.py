"""How good neighbours are by labels, by pairs that match, and by answers by hand."""
