"""Write the pictures of the documentation: docs/report.png, store.png and inspect.png.

They show the sample catalogue; the nights of store.png are invented. The script needs Chromium,
Japanese fonts, and the store of `make run`.
"""

import html
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from pipeline.report import store_page  # noqa: E402
from tests.pipeline.report import nights  # noqa: E402

CONFIG = ROOT / "data_samples" / "nitamono.toml"
ITEM = "SKU-00871"
# CSS of the terminal styles (ECMA-48, SGR) in pipeline.terminal.colours.
STYLES = {"1": "font-weight:bold", "2": "color:#8b949e", "31": "color:#ff7b72",
          "32": "color:#7ee787", "33": "color:#e3b341"}  # fmt: skip
TERMINAL = """<meta charset="utf-8"><style>
body { margin: 0; background: #161b22; }
pre { display: inline-block; margin: 0; padding: 20px 24px; color: #e6edf3;
      font: 15px/1.5 "Noto Sans Mono CJK JP", monospace; }
</style><pre>%s</pre>"""


def nitamono(*arguments: str) -> str:
    """Run a command line and return what it prints, with colours."""
    command = [sys.executable, "-m", "pipeline.cli.main", *arguments, "--config", str(CONFIG)]
    environment = os.environ | {"FORCE_COLOR": "1"}
    process = subprocess.run(  # noqa: S603 - our own program
        command, capture_output=True, text=True, check=True, cwd=ROOT, env=environment
    )
    return process.stdout


def as_html(text: str) -> str:
    """Convert text with terminal styles to HTML."""
    parts = re.split(r"\x1b\[(\d*)m", text)
    styled = [html.escape(parts[0])]
    for style, part in zip(parts[1::2], parts[2::2], strict=True):
        styled.append(f'<span style="{STYLES.get(style, "")}">{html.escape(part)}</span>')
    return "".join(styled)


def inspect(browser: Browser, out: Path) -> None:
    """Write a picture of a terminal with the output of `nitamono inspect`."""
    command = f"nitamono inspect {ITEM} --config nitamono.toml"
    screen = f"\x1b[32m$\x1b[0m {command}\n{nitamono('inspect', ITEM)}".rstrip()
    page = browser.new_page(device_scale_factor=1.5)
    page.set_content(TERMINAL % as_html(screen))
    page.locator("pre").screenshot(path=out)


def report(browser: Browser, out: Path) -> None:
    """Write a picture of the upper part of the published run's page."""
    (path,) = [word for word in nitamono("report").split() if word.endswith("report.html")]
    page = browser.new_page(viewport={"width": 1180, "height": 1560}, locale="en-US")
    page.goto((ROOT / path).resolve().as_uri())
    page.wait_for_timeout(2000)
    page.screenshot(path=out)


def store(browser: Browser, out: Path) -> None:
    """Write a picture of the upper part of the page of a store with 30 invented nights."""
    runs = [nights.night(number) for number in range(1, 31)]
    runs[8], runs[14] = nights.failed(9), nights.held_back(15)
    with tempfile.TemporaryDirectory() as folder:
        path = store_page.write(nights.make_store(Path(folder), runs))
        page = browser.new_page(viewport={"width": 1180, "height": 1390}, locale="en-US")
        page.goto(Path(str(path)).as_uri())
        page.wait_for_timeout(2000)
        page.screenshot(path=out)


def main() -> None:
    """Write the pictures."""
    folder = ROOT / "docs"
    folder.mkdir(exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        inspect(browser, folder / "inspect.png")
        report(browser, folder / "report.png")
        store(browser, folder / "store.png")
        browser.close()


if __name__ == "__main__":
    main()
