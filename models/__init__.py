"""Models that are shipped: a small handle travels, the file follows, each process loads it once.

Usable without the pipeline: nothing here imports it.
"""

from models.embedder import Embedder, load_shipped
from models.errors import ModelError
from models.handle import Handle
from models.shipping import local_path, ship

__all__ = ["Embedder", "Handle", "ModelError", "load_shipped", "local_path", "ship"]
