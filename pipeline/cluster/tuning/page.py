"""The page of a tuning: its trials as a chart and a table."""

from pathlib import Path
from typing import Any

from pipeline.report import page, page_texts

_FILES = Path(__file__).with_name("files")


def html(content: dict[str, Any]) -> bytes:
    """The page of a tuning.

    Args:
        content: nitamono: its version; run_id; items: how many each trial embedded; trials:
            executors, cores, memory (MiB), seconds and why (the failure) of each, in order;
            winner: the best of them, or null.
    """
    texts = page_texts.load(_FILES / "tune.toml")
    return page.render("nitamono tune", content, [_FILES / "tune.js"], texts)
