"""What tests of `nitamono submit` share: its output, in an environment without settings."""

import os
from collections.abc import Callable

import pytest

from pipeline.cli.main import execute

Submit = Callable[..., str]


@pytest.fixture
def submit(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Submit:
    """Run `nitamono submit` in this process: what it prints on stdout."""
    for name in os.environ:
        if name.startswith("NITAMONO_"):
            monkeypatch.delenv(name)

    def run(*arguments: str) -> str:
        execute(["submit", *arguments])
        return capsys.readouterr().out

    return run
