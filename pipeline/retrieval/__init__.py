"""Quantiser, search, merge and recall: NumPy, faiss and pyarrow; no Spark below the stage."""
