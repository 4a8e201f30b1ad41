"""User dictionaries for tests, compiled by SudachiPy."""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import sudachidict_small


def build_user_dictionary(
    folder: Path, *headwords: str, shown: str = "", parts: Sequence[str] = ()
) -> Path:
    """Compile a user dictionary.

    Args:
        folder: where it is written.
        headwords: its headwords: each is looked up, and is its own normalised form.
        shown: how the headwords are shown; empty: as they are looked up.
        parts: entries that other words only are made of; SudachiPy does not look them up.
    """
    source, built = folder / "user.csv", folder / "user.dic"
    connections = dict.fromkeys(headwords, 4786) | dict.fromkeys(parts, -1)
    kind = "名詞,固有名詞,一般,*,*,*,ニタモノ"
    lines = (
        f"{word},{connection},{connection},-5000,{shown or word},{kind},{word},*,*,*,*,*\n"
        for word, connection in connections.items()
    )
    source.write_text("".join(lines), encoding="utf-8")
    system = Path(sudachidict_small.__file__).parent / "resources" / "system.dic"
    program = Path(sys.executable).with_name("sudachipy")
    subprocess.run(
        [program, "ubuild", "-s", system, "-o", built, source], check=True, capture_output=True
    )
    return built
