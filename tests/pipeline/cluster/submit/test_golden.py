"""The stored command lines of `nitamono submit`; `make golden` writes them again."""

import shlex
import sys
from pathlib import Path

import pytest

import pipeline
from tests.pipeline.cluster.submit.conftest import Submit

ROOT = Path(__file__).parents[4]
KEPT = [*sorted((ROOT / "tests" / "golden").glob("*.txt")), ROOT / "deploy/kubernetes/submit.sh"]
HERE = {str(Path(pipeline.__file__).parents[1]): "NITAMONO", sys.executable: "PYTHON"}


def cut(line: str) -> str:
    """A spark-submit command in lines: one for each option, one for nitamono's own arguments."""
    words = shlex.split(line)
    pairs, at = [words[0]], 1
    while words[at].startswith("--"):
        pairs.append(shlex.join(words[at : at + 2]))
        at += 2
    text = " \\\n    ".join([*pairs, shlex.join(words[at:])])
    for path, name in sorted(HERE.items(), key=lambda item: -len(item[0])):
        text = text.replace(path, name)
    return f"{text}\n"


@pytest.mark.parametrize("file", KEPT, ids=lambda file: file.stem)
def test_the_command_is_the_one_that_is_kept(
    submit: Submit,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
    file: Path,
) -> None:
    call, _, expected = file.read_text(encoding="utf-8").partition("\n")
    monkeypatch.chdir(file.parent)
    printed = submit(*shlex.split(call.removeprefix("# nitamono submit ")))
    assert printed == f"{shlex.join(shlex.split(printed))}\n", "one command, and nothing else"
    if request.config.getoption("--write-golden"):
        file.write_text(f"{call}\n{cut(printed)}", encoding="utf-8")
        pytest.skip(f"wrote {file}")
    assert cut(printed) == expected
