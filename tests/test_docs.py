"""The pages of the documentation: commands, settings, links and names in them are true."""

import ast
import inspect
import re
import runpy
import shlex
import tomllib
import typing
from collections.abc import Iterator, Sequence
from functools import cache

import pytest
from pydantic import BaseModel

from pipeline import api
from pipeline.cli.parser import build_parser
from pipeline.cli.verbs import VERBS
from pipeline.config import reading as config
from pipeline.config.sections import Config
from pipeline.store import reason_codes
from pipeline.store.schemas import SCHEMAS
from tests.pages import PAGES, ROOT, Page

CONFIG_NEEDS = {"store": {"path": "store"}, "catalogue": {"path": "items.csv"}}
VERB_NAMES = tuple(VERBS)
# Options of other programs that pages name.
FOREIGN_OPTIONS = {
    "--archives", "--data", "--extra", "--folder", "--mean", "--no-deps", "--peers",
    "--properties-file", "--py-files", "--help", "--version",
}  # fmt: skip
# A section's name, a dot and a name, where that is no file and no part of a longer name.
_SETTING = re.compile(
    r"(?<![\w./-])(" + "|".join(name for name in Config.model_fields if name != "spark") + r")"
    r"\.([a-z_]\w*)(?!\.?\w*[/(])"
)
# A word that stands for a name: HASH, RUN_ID.
_PLACEHOLDER = re.compile(r"\b[A-Z]{2}")
_EXTENSIONS = {"html", "json", "md", "onnx", "py", "safetensors", "toml"}
_FOLDERS = "benchmarks|data_samples|deploy|docs|models|notebooks|pipeline|scripts|tests"

each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


def page(name: str) -> Page:
    return next(page for page in PAGES if page.name == name)


def programs(line: str) -> Iterator[list[str]]:
    """The programs that a command line calls, each with its arguments."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars="|&;<>()")
    lexer.whitespace_split = True
    words: list[str] = []
    for word in lexer:
        if set(word) <= set("|&;<>()"):
            yield words
            # What a redirection names is no program.
            words = [] if word[0] in "|&;" else ["file"]
        elif words or not re.match(r"\w+=", word):
            words.append(word)
    yield words


def nitamono(arguments: Sequence[str]) -> None:
    """See that a command line of nitamono is one, with settings that are there."""
    words = build_parser().parse_args(arguments)
    config.from_mapping(CONFIG_NEEDS, getattr(words, "assignments", []))
    if words.verb == "submit":
        nitamono([*words.submitted, "--config", words.config])


@each_page
def test_commands_in_blocks_can_be_called(page: Page) -> None:
    for line in page.commands():
        for name, *arguments in filter(None, programs(line)):
            if name.removeprefix(".venv/bin/") == "nitamono":
                nitamono(arguments)
            elif name == "make":
                makes(arguments, page)
            elif name in ("python", "sh"):
                assert (ROOT / arguments[0]).is_file() or "NAME" in arguments[0]
            elif name == "kubectl":
                assert (ROOT / arguments[-1]).exists(), line


def makes(arguments: Sequence[str], page: Page) -> None:
    """See that `make` knows the targets."""
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M)
    for target in arguments:
        assert "=" in target or target in targets, f"{page.name}: make {target}"


@each_page
def test_commands_in_sentences_name_verbs_and_options(page: Page) -> None:
    known = {verb: options(verb) for verb in VERB_NAMES}
    every: set[str] = set().union(*known.values())
    for code in page.inline_code:
        words = code.split()
        if words[0] == "make":
            makes([word for word in words[1:] if re.fullmatch(r"[a-z-]+", word)], page)
        verb = words[0]
        if verb == "nitamono" and re.fullmatch(r"[a-z]+", "".join(words[1:2])):
            verb = words[1]
            assert verb in VERB_NAMES, f"{page.name}: {code}"
            if "--config" in words and "..." not in words:
                nitamono(words[1:])
        named = {word.partition("=")[0] for word in words if re.match(r"--[a-z]", word)}
        unknown = named - known.get(verb, every) - FOREIGN_OPTIONS
        assert not unknown or "conf" in code, f"{page.name}: {code}: {unknown}"


@cache
def options(verb: str) -> set[str]:
    """The options that a verb's help names."""
    texts = [help_of(verb)]
    if verb == "model":
        texts += [
            help_of("model", action)
            for action in ("pack", "distil", "info", "list", "push", "pull")
        ]
    return set(re.findall(r"--[a-z][a-z-]*", " ".join(texts)))


def help_of(*verb: str) -> str:
    with pytest.MonkeyPatch.context() as patch, pytest.raises(SystemExit):
        printed: list[str] = []
        patch.setattr("sys.stdout.write", printed.append)
        build_parser().parse_args([*verb, "--help"])
    return "".join(printed)


@each_page
def test_settings_exist(page: Page) -> None:
    texts = [*page.inline_code, *(block.text for block in page.blocks("sh", "console"))]
    for section, key in _SETTING.findall("\n".join(texts)):
        annotation = Config.model_fields[section].annotation
        # [[variant]] may come several times.
        annotation = next(iter(typing.get_args(annotation)), annotation)
        assert isinstance(annotation, type)
        assert issubclass(annotation, BaseModel)
        assert key in annotation.model_fields or key in _EXTENSIONS, f"{page.name}: {section}.{key}"


@each_page
def test_configs_can_be_read(page: Page) -> None:
    for block in page.blocks("toml"):
        config.from_mapping(CONFIG_NEEDS | tomllib.loads(block.text))


@each_page
def test_links_lead_somewhere(page: Page) -> None:
    by_path = {other.path: other for other in PAGES}
    for link in page.links:
        file, _, anchor = link.partition("#")
        target = (page.path.parent / file).resolve() if file else page.path
        assert target.exists(), f"{page.name}: {link}"
        assert not anchor or anchor in by_path[target].anchors, f"{page.name}: {link}"


@each_page
def test_files_and_modules_exist(page: Page) -> None:
    for code in page.inline_code:
        if re.fullmatch(rf"(?:{_FOLDERS})/[\w./*-]*", code) and not _PLACEHOLDER.search(code):
            assert list(ROOT.glob(code.rstrip("/"))), f"{page.name}: {code}"
        if re.fullmatch(r"(?:pipeline|models)(?:\.\w+)+", code):
            module = ROOT.joinpath(*code.split("."))
            there = module.is_dir() or module.with_suffix(".py").is_file()
            assert there, f"{page.name}: {code}"


@each_page
def test_code_for_notebooks_calls_the_api_as_it_is(page: Page) -> None:
    for block in page.blocks("python"):
        for node in ast.walk(ast.parse(block.text)):
            if isinstance(node, ast.Call) and ast.unparse(node.func).startswith("api."):
                function = getattr(api, ast.unparse(node.func).removeprefix("api."))
                keywords = {word.arg: None for word in node.keywords if word.arg}
                inspect.signature(function).bind(*node.args, **keywords)


def test_the_readme_is_short_and_names_every_page() -> None:
    readme = page("README.md")
    assert len(readme.text.splitlines()) <= 160
    linked = {(ROOT / link.partition("#")[0]).resolve() for link in readme.links}
    assert {other.path for other in PAGES if other.path.parent == ROOT / "docs"} <= linked


def test_the_japanese_readme_has_the_same_code_and_links() -> None:
    english, japanese = page("README.md"), page("README.ja.md")
    assert list(japanese.blocks("toml")) == list(english.blocks("toml"))
    assert [list(programs(line)) for line in _without_comments(japanese)] == [
        list(programs(line)) for line in _without_comments(english)
    ]
    assert _pages_linked(japanese) == _pages_linked(english)
    assert len(japanese.text.splitlines()) <= 160


def _without_comments(page: Page) -> list[str]:
    return [line.partition(" #")[0] for line in page.commands()]


def _pages_linked(page: Page) -> set[str]:
    return {link for link in page.links if link not in ("README.md", "README.ja.md")}


def test_the_page_of_settings_is_that_of_the_config() -> None:
    written = runpy.run_path(str(ROOT / "scripts" / "configuration_page.py"))["page"]()
    assert page("docs/configuration.md").text == written, "run: make docs"


def test_every_verb_is_on_the_page_of_the_command_line() -> None:
    named = re.findall(r"^\| `(\w+)` \|", page("docs/command-line.md").text, re.M)
    assert sorted(named) == sorted(set(VERB_NAMES))


@pytest.mark.parametrize(
    "table", ["similar_items", "short_lists", "quarantine", "items", "embeddings", "details"]
)
def test_the_columns_of_a_table_are_those_of_the_page(table: str) -> None:
    (rows,) = re.findall(
        rf"^\| `{table}` \| type \|.*\n\| ---.*\n((?:\|.*\n)+)", page("docs/store.md").text, re.M
    )
    named = [re.findall(r"`(\w+)`", line.split("|")[1]) for line in rows.splitlines()]
    assert [name for names in named for name in names] == SCHEMAS[table].names


@pytest.mark.parametrize("code", [*reason_codes.QUARANTINE, *reason_codes.SHORT_LISTS])
def test_every_reason_is_on_the_page_with_its_meaning(code: str) -> None:
    meaning = (reason_codes.QUARANTINE | reason_codes.SHORT_LISTS)[code].en
    rows = page("docs/store.md").text.replace("`", "").splitlines()
    assert any(row.startswith(f"| {code} | {meaning}") for row in rows)


def test_the_changelog_begins_with_this_version() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    releases = re.findall(r"^## \[?(\d+\.\d+\.\d+)", page("CHANGELOG.md").text, re.M)
    assert releases[0] == project["version"]


def test_every_folder_of_the_code_is_explained() -> None:
    text = page("docs/development.md").text
    for root in ("pipeline", "models"):
        for folder in sorted(path.parent for path in (ROOT / root).glob("*/__init__.py")):
            assert f"`{folder.relative_to(ROOT)}/`" in text, folder


def test_the_layers_are_those_that_are_checked() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contract = project["tool"]["importlinter"]["contracts"][0]
    layers = [layer.replace("pipeline.", "").replace(" | ", ", ") for layer in contract["layers"]]
    (block,) = page("docs/development.md").blocks("text")
    assert block.text.splitlines() == layers
