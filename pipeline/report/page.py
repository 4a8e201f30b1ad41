"""A page: template, texts, data and scripts put together into one HTML file that loads nothing."""

import base64
import hashlib
import importlib.util
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from pipeline.report import page_texts

FILES = Path(__file__).with_name("files")
_BOKEH = ("bokeh.min.js", "bokeh-api.min.js")
# The scripts that all pages share.
_SHARED = (FILES / "common.js", FILES / "charts.js")


def render(
    title: str, data: Mapping[str, Any], scripts: Sequence[Path], texts: Mapping[str, Any]
) -> bytes:
    """Render a page.

    The page's content policy lets it load nothing and run no scripts but its own, which it names by
    their hashes.

    Args:
        title: the title of the browser's window.
        data: what the scripts show, as JSON.
        scripts: files of the page's own scripts; they run after the shared ones and BokehJS.
        texts: the page's own texts, as `pipeline.report.page_texts.load` returns them.

    Returns:
        HTML in UTF-8. Halves of characters (lone surrogates) in texts become question marks.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(FILES),
        autoescape=True,
        trim_blocks=True,
        undefined=StrictUndefined,
    )
    environment.policies["json.dumps_kwargs"] = {
        "ensure_ascii": False,
        "separators": (",", ":"),
        "allow_nan": False,
    }
    contents = [*_bokeh(), "\n".join(_read(path) for path in (*_SHARED, *scripts))]
    html = environment.get_template("page.html").render(
        policy=_content_policy(contents),
        title=title,
        style=_read(FILES / "page.css"),
        words=page_texts.merge(page_texts.load(FILES / "common.toml"), texts),
        data=data,
        scripts=contents,
    )
    return html.encode(errors="replace")


def _content_policy(scripts: Sequence[str]) -> str:
    hashes = " ".join(f"'sha256-{_sha256(script)}'" for script in scripts)
    return (
        f"default-src 'none'; script-src {hashes}; style-src 'unsafe-inline'; "
        "img-src data: blob:; font-src data:; form-action 'none'; base-uri 'none'"
    )


def _sha256(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8")


@cache
def _bokeh() -> tuple[str, ...]:
    """BokehJS, read from the installed package, which is not imported."""
    spec = importlib.util.find_spec("bokeh")
    assert spec is not None and spec.submodule_search_locations  # noqa: S101 - a dependency
    folder = Path(spec.submodule_search_locations[0]) / "server" / "static" / "js"
    return tuple(_read(folder / name) for name in _BOKEH)
