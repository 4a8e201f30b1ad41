"""Models in an object store: `push` and `pull`; what shipping needs is in models.s3.objects."""

from models.s3.client import S3Options
from models.s3.objects import pull, push

__all__ = ["S3Options", "pull", "push"]
