"""Object stores, and models in them: `push` and `pull`; shipping uses models.stores.objects."""

from models.stores.objects import pull, push
from models.stores.options import S3Options, StoreOptions

__all__ = ["S3Options", "StoreOptions", "pull", "push"]
