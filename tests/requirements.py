"""What tests need that may be missing: they are skipped without it, but fail in CI."""

import os
from typing import NoReturn

import pytest


def missing(what: str, remedy: str) -> NoReturn:
    """End a test because a program that it needs is not there.

    Args:
        what: the program, and why the test can't do without it.
        remedy: how to get it.

    Raises:
        Failed: the environment variable CI is set, so nothing may be left out in silence.
        Skipped: it is not set.
    """
    message = f"{what}: {remedy}"
    if os.environ.get("CI"):
        pytest.fail(f"{message} (with CI set this test is not skipped)", pytrace=False)
    pytest.skip(message)
