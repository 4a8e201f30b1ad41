"""Help and shell completion, from the parsers themselves."""

import os
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from pipeline.cli.completion import all_parsers, script
from pipeline.cli.parser import Parser, build_parser
from pipeline.cli.verbs import VERBS
from pipeline.stages import NAMES
from tests.requirements import missing


def verb_parsers() -> list[Parser]:
    """The parsers of the verbs, and those of model's verbs instead of its own."""
    return [parser for parser in all_parsers(build_parser()) if not list(parser.subparsers())]


def test_every_verb_has_an_example_that_its_parser_takes() -> None:
    commands = set()
    for parser in verb_parsers():
        example = (parser.epilog or "").removeprefix("example: nitamono ")
        words = shlex.split(example)
        build_parser().parse_args(words)
        assert parser.prog == f"nitamono {' '.join(words[: len(parser.prog.split()) - 1])}"
        assert f"example: nitamono {example}\n" in parser.format_help()
        commands.add(parser.prog)
    verbs = set(VERBS) - {"model"}
    verbs |= {f"model {name}" for name in ("pack", "distil", "info", "list", "push", "pull")}
    assert commands == {f"nitamono {name}" for name in verbs}


def test_every_stage_is_a_verb() -> None:
    assert [name for name, verb in VERBS.items() if verb.module == "stage"] == list(NAMES)


def test_an_example_of_a_submission_is_one_of_a_verb_too() -> None:
    (submit,) = (parser for parser in verb_parsers() if parser.prog == "nitamono submit")
    arguments = build_parser().parse_args(shlex.split(submit.epilog or "")[2:])
    assert build_parser().parse_args([*arguments.submitted, "--config", "x"]).verb == "run"


def test_the_commands_help_has_a_line_for_every_verb_under_what_it_is_for() -> None:
    text = build_parser().format_help()
    groups = [line for line in text.splitlines() if line.endswith(":") and line[0] != " "]
    assert groups[:3] == ["make the table:", "look at it:", "keep the store:"]
    for name in VERBS:
        assert text.count(f"\n  {name} ") == 1, name
    assert "exit codes" in text


def test_every_verb_but_those_that_start_others_prints_json() -> None:
    others = {"submit", "completion", *(f"model {name}" for name in ("pack", "push", "pull"))}
    for parser in verb_parsers():
        with_json = any("--json" in action.option_strings for action in parser.actions)
        assert with_json == (parser.prog.removeprefix("nitamono ") not in others), parser.prog


ASK_BASH = """
source "$1"; shift
COMP_WORDS=("$@"); COMP_CWORD=$(( $# - 1 )); COMP_LINE="$*"; COMP_POINT=${#COMP_LINE}
function=$(complete -p nitamono | sed 's/.*-F \\([^ ]*\\).*/\\1/')
$function nitamono "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD-1]}"
printf '%s\\n' "${COMPREPLY[@]}"
"""
# zsh completes only in its line editor, so the test starts one on a pseudo-terminal.
START_ZSH = """
PS1=
autoload -Uz compinit
compinit -u -D
eval "$(<nitamono.zsh)"
print -r REA''DY
"""
ASK_ZSH = r"""
zmodload zsh/zpty
zpty -b z zsh -f -i
zpty -w z "source start.zsh"
until [[ $output == *READY* ]]; do zpty -rt z line && output+=$line || sleep 0.1; done
zpty -w -n z "$1"$'\t\t'
for moment in {1..30}; do
    sleep 0.1
    while zpty -rt z line; do print -rn -- $line; done
done
exit 0
"""
QUESTIONS = [
    (("nitamono", "r"), {"run", "runs", "rollback"}),
    (("nitamono", "run", "--from", ""), set(NAMES)),
    (("nitamono", "run", "--re"), {"--retrain"}),
    (("nitamono", "model", "p"), {"pack", "push", "pull"}),
    (("nitamono", "embed", "--config", "nita"), {"nitamono.toml"}),
    (("nitamono", "run", "--set", "neighbors.r"), {"neighbors.reserve", "neighbors.recall_sample"}),
]


@pytest.fixture(scope="module")
def scripts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("completion")
    (folder / "nitamono.toml").write_text("")
    for shell in ("bash", "zsh", "fish"):
        (folder / f"nitamono.{shell}").write_text(script(build_parser(), shell), encoding="utf-8")
    return folder


@pytest.mark.processes
@pytest.mark.parametrize(("words", "expected"), QUESTIONS)
def test_bash_completes(scripts: Path, words: tuple[str, ...], expected: set[str]) -> None:
    command = ["bash", "-c", ASK_BASH, "bash", "nitamono.bash", *words]
    process = subprocess.run(command, cwd=scripts, capture_output=True, text=True, check=True)
    assert {word.strip() for word in process.stdout.split("\n") if word} >= expected
    if words[-1]:
        assert all(word.startswith(words[-1]) for word in process.stdout.split())


@pytest.mark.processes
@pytest.mark.parametrize(("words", "expected"), QUESTIONS)
def test_fish_completes(scripts: Path, words: tuple[str, ...], expected: set[str]) -> None:
    if shutil.which("fish") is None:
        missing("fish is not installed", "run scripts/test_servers.sh as root")
    line = shlex.quote(" ".join(words))
    command = ["fish", "--no-config", "-c", f"source nitamono.fish; complete -C {line}"]
    program = scripts / "bin" / "nitamono"
    program.parent.mkdir(exist_ok=True)
    program.touch(mode=0o755)
    path = f"{program.parent}:{os.environ['PATH']}"
    environment = os.environ | {"HOME": str(scripts), "PATH": path}
    process = subprocess.run(
        command, cwd=scripts, capture_output=True, text=True, check=True, env=environment
    )
    assert {line.split("\t")[0] for line in process.stdout.splitlines()} >= expected


@pytest.mark.processes
@pytest.mark.parametrize(("words", "expected"), [QUESTIONS[0], QUESTIONS[3], QUESTIONS[5]])
def test_zsh_completes(scripts: Path, words: tuple[str, ...], expected: set[str]) -> None:
    if shutil.which("zsh") is None:
        missing("zsh is not installed", "run scripts/test_servers.sh as root")
    (scripts / "start.zsh").write_text(START_ZSH)
    command = ["zsh", "-f", "-c", ASK_ZSH, "zsh", " ".join(words)]
    environment = os.environ | {"HOME": str(scripts), "TERM": "xterm", "COLUMNS": "200"}
    process = subprocess.run(
        command,
        cwd=scripts,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
        env=environment,
    )
    assert all(word in process.stdout for word in expected), process.stdout
