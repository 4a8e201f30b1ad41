"""Writes the pictures of the pages: docs/report.png and docs/inspect.png, of the sample catalogue.

It needs Chromium, Japanese fonts, and a store in which `make run` has published.
"""

import html
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

ROOT = Path(__file__).parents[1]
CONFIG = ROOT / "data_samples" / "nitamono.toml"
ITEM = "SKU-00871"
# ECMA-48's styles that pipeline.terminal.colours uses, as CSS.
STYLES = {"1": "font-weight:bold", "2": "color:#8b949e", "31": "color:#ff7b72",
          "32": "color:#7ee787", "33": "color:#e3b341"}  # fmt: skip
TERMINAL = """<meta charset="utf-8"><style>
body { margin: 0; background: #161b22; }
pre { display: inline-block; margin: 0; padding: 20px 24px; color: #e6edf3;
      font: 15px/1.5 "Noto Sans Mono CJK JP", monospace; }
</style><pre>%s</pre>"""


def nitamono(*arguments: str) -> str:
    """What a command line prints, with colours."""
    command = [sys.executable, "-m", "pipeline.cli.main", *arguments, "--config", str(CONFIG)]
    environment = os.environ | {"FORCE_COLOR": "1"}
    done = subprocess.run(  # noqa: S603 - our own program
        command, capture_output=True, text=True, check=True, cwd=ROOT, env=environment
    )
    return done.stdout


def as_html(text: str) -> str:
    """Text with a terminal's styles, as HTML."""
    parts = re.split(r"\x1b\[(\d*)m", text)
    styled = [html.escape(parts[0])]
    for style, part in zip(parts[1::2], parts[2::2], strict=True):
        styled.append(f'<span style="{STYLES.get(style, "")}">{html.escape(part)}</span>')
    return "".join(styled)


def inspect(browser: Browser, out: Path) -> None:
    """The terminal after `nitamono inspect`."""
    command = f"nitamono inspect {ITEM} --config nitamono.toml"
    shown = f"\x1b[32m$\x1b[0m {command}\n{nitamono('inspect', ITEM)}".rstrip()
    page = browser.new_page(device_scale_factor=1.5)
    page.set_content(TERMINAL % as_html(shown))
    page.locator("pre").screenshot(path=out)


def report(browser: Browser, out: Path) -> None:
    """The upper part of the page of the published run."""
    (line,) = [word for word in nitamono("report").split() if word.endswith("report.html")]
    page = browser.new_page(viewport={"width": 1180, "height": 1560}, locale="en-US")
    page.goto((ROOT / line).resolve().as_uri())
    page.wait_for_timeout(2000)
    page.screenshot(path=out)


def main() -> None:
    """Write both."""
    folder = ROOT / "docs"
    folder.mkdir(exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        inspect(browser, folder / "inspect.png")
        report(browser, folder / "report.png")
        browser.close()


if __name__ == "__main__":
    main()
