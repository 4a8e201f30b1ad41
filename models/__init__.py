"""Models as things that are shipped and used: a handle travels, the file follows, one load each.

Usable without the pipeline: nothing here imports it.
"""

from models.errors import ModelError
from models.handle import Handle

__all__ = ["Handle", "ModelError"]
