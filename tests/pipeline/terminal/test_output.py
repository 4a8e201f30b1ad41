import io
import json
import os
import pty
import re
import subprocess
import sys
import unicodedata
from pathlib import Path

import pytest

from pipeline.terminal import colours, output
from pipeline.terminal.colours import BAD, GOOD, HEAD, paint

COLOUR_VARIABLES = ("NO_COLOR", "FORCE_COLOR", "CLICOLOR_FORCE", "TERM")


class Terminal(io.StringIO):
    """A stream that says it is one."""

    def isatty(self) -> bool:
        return True


def on_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on standard output is a terminal of 40 columns with colours."""
    for name in COLOUR_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setattr(sys, "stdout", Terminal())


def cells(text: str) -> int:
    """Columns of a terminal by Unicode's own table."""
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def test_columns_align_on_a_terminal_whatever_the_width_of_the_characters() -> None:
    rows = [("無洗米５ｋｇ", "1", "北の穂"), ("tea", "10", "x"), ("ｶﾅ", "5", "半角")]
    lines = output.table(("title", "n", "brand"), rows, right="n")
    ends = [cells(line[: line.index(row[2])]) for line, row in zip(lines[1:], rows, strict=True)]
    assert ends == [12 + 2 + 2 + 2] * 3
    assert lines[0] == "title          n  brand"
    assert lines[2] == "tea           10  x"


def test_a_combining_mark_takes_no_column() -> None:
    assert output.display_width("か\u3099") == 2
    assert output.display_width("が") == 2
    assert output.display_width("ascii") == 5


@pytest.mark.parametrize(
    ("text", "max_width", "expected"),
    [
        ("無洗米 5kg", 10, "無洗米 5kg"),
        ("無洗米 5kg 2袋", 10, "無洗米 5k…"),
        ("無洗米無洗米", 10, "無洗米無…"),
        ("two\n lines\t", 60, "two lines"),
        ("red \x1b[31m text\x07", 60, r"red \x1b[31m text\x07"),
        (None, 60, ""),
    ],
)
def test_a_title_is_cut_by_the_columns_it_takes(text: str, max_width: int, expected: str) -> None:
    assert output.shorten(text, max_width) == expected
    assert cells(output.shorten(text, max_width)) <= max_width


def test_a_table_fits_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    on_terminal(monkeypatch)
    rows = [("SKU-1", "白峰ファーム あきたこまち 真空パック 令和産", "0.8871")]
    lines = output.table(("item", "title", "score"), rows, cut="title")
    assert "…" in lines[1]
    assert lines[1].endswith("0.8871")
    assert cells(lines[1]) == 40
    assert output.fit_title("白峰ファーム あきたこまち", indent=20) == "白峰ファーム あきた…"


ODD = "a\x1b[31mb\u202ec\x9bd\x7fe\u2028f\rg"
SHOWN = r"a\x1b[31mb\u202ec\x9bd\x7fe\u2028f\rg"


def test_what_acts_on_a_terminal_is_shown_as_an_escape_and_styles_stay(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("FORCE_COLOR", "1")
    output.print_lines([ODD.replace("\x1b[31m", "\x1b]0;")])
    output.print_lines([paint(ODD, BAD), *output.table(("item",), [(ODD,)])[1:]])
    written = capsys.readouterr().out
    assert written.splitlines()[0] == SHOWN.replace("[31m", "]0;")
    assert written.splitlines()[1:] == [f"\x1b[31m{SHOWN}\x1b[0m", SHOWN]


def test_json_has_the_exact_values_and_nothing_that_acts_on_a_terminal(
    capsys: pytest.CaptureFixture[str],
) -> None:
    value = {ODD: [f"{ODD}\n\t\\ 靴 👨\u200d👩", "\x00"]}
    output.print_json(value)
    printed = capsys.readouterr().out
    assert json.loads(printed) == value
    assert json.loads(output.to_json(value)) == value
    assert re.sub("[\u200d\n]", "", printed).isprintable()


def test_a_long_id_does_not_widen_a_table() -> None:
    rows = [(output.short_id("x" * 500), "1"), (output.short_id("靴" * 500), "2")]
    lines = output.table(("item", ""), rows)
    assert {cells(line) for line in lines[1:]} == {40 + 2 + 1, 39 + 1 + 2 + 1}
    assert lines[1].startswith("x" * 39 + "…")
    assert output.short_id("7d444840-9dc0-11d1-b245-5ffdce74fad2").endswith("fad2")
    assert output.short_id(f"{ODD}\n") == f"{SHOWN}\\n"


def test_nothing_is_cut_where_there_is_no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    rows = [("SKU-1", "白峰ファーム あきたこまち 真空パック 令和産", "0.8871")]
    assert "…" not in output.table(("item", "title", "score"), rows, cut="title")[1]


def test_a_style_does_not_move_a_column(monkeypatch: pytest.MonkeyPatch) -> None:
    on_terminal(monkeypatch)
    rows = [("a", "published", "x"), ("b", "failed", "x")]
    styles = {"status": lambda value: {"published": GOOD, "failed": BAD}[value]}
    lines = output.table(("run", "status", ""), rows, styles=styles)
    assert lines[1] == "a    \x1b[32mpublished\x1b[0m  x"
    assert lines[2] == "b    \x1b[31mfailed\x1b[0m     x"
    assert lines[0].startswith("\x1b[1mrun\x1b[0m  \x1b[1mstatus\x1b[0m")


@pytest.mark.parametrize(
    ("is_terminal", "environment", "expected"),
    [
        (True, {}, True),
        (False, {}, False),
        (True, {"NO_COLOR": "1"}, False),
        (True, {"NO_COLOR": ""}, True),
        (True, {"TERM": "dumb"}, False),
        (False, {"FORCE_COLOR": "1"}, True),
        (False, {"CLICOLOR_FORCE": "1"}, True),
        (False, {"FORCE_COLOR": "0"}, False),
        (True, {"NO_COLOR": "1", "FORCE_COLOR": "1"}, False),
    ],
)
def test_colours_come_on_terminals_unless_the_environment_says_otherwise(
    monkeypatch: pytest.MonkeyPatch,
    *,
    is_terminal: bool,
    environment: dict[str, str],
    expected: bool,
) -> None:
    for name in COLOUR_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    stream = Terminal() if is_terminal else io.StringIO()
    assert colours.colours_enabled(stream) is expected
    assert paint("x", HEAD, stream) == ("\x1b[1mx\x1b[0m" if expected else "x")


def test_the_commands_own_terminal_has_colours_and_its_pipe_has_none(tmp_path: Path) -> None:
    """A failure's name is red where stderr is a terminal: a process on a pty."""
    program = Path(sys.executable).with_name("nitamono")
    arguments = [str(program), "run", "--config", str(tmp_path / "none.toml")]
    environment = {n: v for n, v in os.environ.items() if n not in COLOUR_VARIABLES}
    environment["TERM"] = "xterm"
    main, other = pty.openpty()
    subprocess.run(arguments, stderr=other, check=False, env=environment)
    os.close(other)
    output_bytes = os.read(main, 10_000)
    os.close(main)
    assert output_bytes.startswith(b"\x1b[31mnitamono:\x1b[0m config ")
    piped = subprocess.run(arguments, capture_output=True, check=False, env=environment)
    assert piped.stderr.startswith(b"nitamono: config ")
