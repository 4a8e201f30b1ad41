"""How good neighbours are by what is known of the items: labels, and pairs that match."""
