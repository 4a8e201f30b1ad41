"""Errors that no verb explains: one line for the user, and the traceback in a file."""

import json
import re
import subprocess
import sys
from pathlib import Path

from pipeline.store.store import Store
from tests.pages import ROOT

# A verb with a fault.
_FAULTY = (
    "import pipeline.cli.runs as verb\n"
    "def execute(arguments): raise ZeroDivisionError('password=hush-hush')\n"
    "verb.execute = execute\n"
    "from pipeline.cli.main import main\n"
    "main()\n"
)


def faulty(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", _FAULTY, "runs", *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


def kept(text: str) -> Path:
    """The file that a message names."""
    (path,) = re.findall(r"more is in (\S+)", text)
    return Path(path)


def config(folder: Path) -> str:
    file = folder / "nitamono.toml"
    file.write_text('[store]\npath = "store"\n[catalogue]\npath = "items.csv"\n')
    return str(file)


def test_a_folder_that_is_still_empty_stays_a_new_store(tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    (line,) = faulty("--config", config(tmp_path)).stderr.splitlines()
    assert kept(line).is_file()
    assert list((tmp_path / "store").iterdir()) == []


def test_the_traceback_is_kept_in_the_store_without_secrets(tmp_path: Path) -> None:
    Store(str(tmp_path / "store"))
    ended = faulty("--config", config(tmp_path))
    assert ended.returncode == 5
    (line,) = ended.stderr.splitlines()
    assert line.startswith("nitamono: ZeroDivisionError: password=***")
    file = kept(line)
    assert file.parent.parent == tmp_path / "store" / "runs"
    assert file.parent.name.endswith("-runs")
    text = file.read_text()
    assert text.startswith("Traceback (most recent call last):")
    assert "in execute" in text
    assert "hush-hush" not in text


def test_without_a_store_it_is_kept_in_a_temporary_folder(tmp_path: Path) -> None:
    ended = faulty("--config", config(tmp_path), "--log", "json")
    assert ended.returncode == 5
    event = json.loads(ended.stderr)
    assert (event["event"], event["exit_code"]) == ("error", 5)
    file = kept(event["text"])
    assert not (tmp_path / "store").exists()
    assert "ZeroDivisionError" in file.read_text()
    file.unlink()
    file.parent.rmdir()
