"""The stage embed: tokens and model -> embeddings."""
