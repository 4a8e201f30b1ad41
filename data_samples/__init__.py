"""Sample catalogues, and the script that writes them."""
