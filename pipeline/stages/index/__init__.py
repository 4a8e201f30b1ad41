"""The stage index: embeddings -> quantiser and lists."""
