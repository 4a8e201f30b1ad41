"""What tests of deploy/ share: command lines in this process."""

from tests.pipeline.conftest import in_process

__all__ = ["in_process"]
