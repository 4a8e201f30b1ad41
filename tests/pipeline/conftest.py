"""The S3 server of the models' tests, for the verbs that copy models."""

from tests.models.conftest import proxy, s3_server

__all__ = ["proxy", "s3_server"]
