"""The page itself: template, words, data and BokehJS put together into one file."""

import base64
import hashlib
import importlib.util
import json
from functools import cache
from pathlib import Path
from typing import Any

from pipeline.report.words import WORDS

_FILES = Path(__file__).with_name("files")
_SCRIPTS = ("words.js", "charts.js", "items.js", "page.js")
_BOKEH = ("bokeh.min.js", "bokeh-api.min.js")


def html(data: dict[str, Any]) -> str:
    """The page of a run in one file.

    It may load nothing, and run no script but its own: their hashes stand in its policy.

    Args:
        data: what `pipeline.report.data.gather` found.
    """
    scripts = [*_bokeh(), "\n".join(_file(name) for name in _SCRIPTS)]
    hashes = " ".join(f"'sha256-{_sha256(script)}'" for script in scripts)
    parts = {
        "policy": (
            f"default-src 'none'; script-src {hashes}; style-src 'unsafe-inline'; "
            "img-src data: blob:; font-src data:; form-action 'none'; base-uri 'none'"
        ),
        "title": f"nitamono {_escaped(data['run']['run_id'])}",
        "style": _file("page.css"),
        "words": embedded(WORDS),
        "data": embedded(data),
        "scripts": "\n".join(f"<script>{script}</script>" for script in scripts),
    }
    pieces = _file("page.html").split("%%")
    # Every second piece is a name: what is put in is not looked at again.
    return "".join(parts[piece] if n % 2 else piece for n, piece in enumerate(pieces))


def embedded(value: object) -> str:
    """A value as JSON that may stand in a script element, whatever its texts are."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    for char in "<>&\u2028\u2029":
        text = text.replace(char, f"\\u{ord(char):04x}")
    # What no encoding has, half a character of a damaged text, would end the writing.
    return text.encode(errors="replace").decode()


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _sha256(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def _file(name: str) -> str:
    return (_FILES / name).read_text(encoding="utf-8")


@cache
def _bokeh() -> tuple[str, ...]:
    """BokehJS as it lies in the installed package, which need not be imported for it."""
    spec = importlib.util.find_spec("bokeh")
    assert spec is not None and spec.submodule_search_locations  # noqa: S101 - a dependency
    folder = Path(spec.submodule_search_locations[0]) / "server" / "static" / "js"
    return tuple((folder / name).read_text(encoding="utf-8") for name in _BOKEH)
