"""The example notebook, executed in a folder of its own; --write-golden keeps what it shows."""

import csv
import re
import shutil
import sys
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[1]
NOTEBOOK = ROOT / "notebooks" / "similar_items.ipynb"
SAMPLE = ROOT / "data_samples" / "night1.csv"
# Enough of the sample for every cell to have something to show.
ROWS = 200
# What a page shows best; HTML tables come with their text.
SHOWN = ("text/plain", "text/html")


@pytest.fixture
def executed(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> nbformat.NotebookNode:
    """The notebook with today's outputs; any cell's error is the test's."""
    keep = request.config.getoption("--write-golden")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("PYSPARK_PYTHON", sys.executable)
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.setenv("NITAMONO_SPARK_DRIVER_MEMORY", "1g")
    for folder in ("notebooks", "data_samples"):
        (tmp_path / folder).mkdir()
    if keep:
        shutil.copy(SAMPLE, tmp_path / "data_samples")
    else:
        _write_part(tmp_path / "data_samples" / SAMPLE.name)
    notebook: nbformat.NotebookNode = nbformat.read(NOTEBOOK, as_version=4)
    where = {"metadata": {"path": str(tmp_path / "notebooks")}}
    NotebookClient(notebook, timeout=600, kernel_name="python3", resources=where).execute()
    if keep:
        _keep(notebook)
    return notebook


def _write_part(file: Path) -> None:
    """Write the sample's first rows, and those of one kind of rice."""
    with SAMPLE.open(encoding="utf-8-sig", newline="") as source:
        head, *rows = csv.reader(source)
    some = [*(row for row in rows if "あきたこまち" in row[1]), *rows[:ROWS]]
    with file.open("w", encoding="utf-8", newline="") as out:
        csv.writer(out).writerows([head, *map(list, dict.fromkeys(map(tuple, some)))])


def _keep(notebook: nbformat.NotebookNode) -> None:
    for cell in notebook.cells:
        cell.metadata = {}
        if cell.cell_type == "code":
            cell.outputs = [one for one in cell.outputs if one.output_type == "execute_result"]
            for output in cell.outputs:
                output.data = {kind: output.data[kind] for kind in SHOWN if kind in output.data}
                if "text/html" in output.data:
                    html = re.sub(r"<style.*?</style>\n?", "", output.data["text/html"], flags=re.S)
                    output.data["text/html"] = html
    notebook.metadata.language_info = {"name": "python"}
    nbformat.write(notebook, NOTEBOOK)


def results(notebook: nbformat.NotebookNode) -> list[str]:
    """What each cell that shows something shows, as text."""
    return [
        output.data["text/plain"]
        for cell in notebook.cells
        if cell.cell_type == "code"
        for output in cell.outputs
        if output.output_type == "execute_result"
    ]


def test_every_cell_runs_and_shows_what_the_text_says(executed: nbformat.NotebookNode) -> None:
    shown = results(executed)
    assert "'published': True" in shown[0]
    assert "'recall': 1.0" in shown[0]
    assert any("あきたこまち" in text for text in shown)
    texts = next(text for text in shown if "cleaner" in text)
    assert "rice" in texts
    assert "nothing" not in texts
    assert shown[-3].startswith("(False")
    assert "'train': 'reused'" in shown[-3]
    assert "'embed': 'done'" in shown[-3]
    assert len(results(nbformat.read(NOTEBOOK, as_version=4))) == len(shown)


def test_what_is_kept_is_small_and_tells_nothing_of_a_machine() -> None:
    text = NOTEBOOK.read_text(encoding="utf-8")
    assert len(text) < 40_000
    assert not re.findall(r"/(?:home|root|tmp|Users|var|work|mnt)/", text)
    assert "Traceback" not in text
