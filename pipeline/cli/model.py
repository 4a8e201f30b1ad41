"""The verbs of `nitamono model`: pack, info, list, push, pull."""

import argparse
import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from models import ModelError, fasttext, onnx
from models.content import read_content
from models.fasttext.packing import open_source
from pipeline.config import reading as config
from pipeline.config.sections import Config
from pipeline.errors import InputError, UsageError
from pipeline.stages.train import model_registry
from pipeline.storage.files import read_json
from pipeline.store.store import Store
from pipeline.terminal.colours import GOOD
from pipeline.terminal.output import table

_HELP = {
    "pack": "pack a fastText model (.bin, .ftz, .vec), or copy an encoder, for mapping",
    "info": "what a model file is, or the store's current model",
    "list": "the models that the store keeps",
    "push": "copy the store's current model to a folder or an s3:// prefix",
    "pull": "take a pushed model into the store, its sha256 checked",
}
_EXAMPLES = {
    "pack": "pack cc.ja.300.bin packed/",
    "info": "info --config nitamono.toml",
    "list": "list --config nitamono.toml",
    "push": "push s3://bucket/models/spring --config nitamono.toml",
    "pull": "pull s3://bucket/models/spring --use --config nitamono.toml",
}


def add(verbs: Any) -> None:  # noqa: ANN401 - argparse's subparsers
    """Add the verb `model` to the command's parser."""
    text = "pack a model, look at models, copy them"
    top = verbs.add_parser("model", help=text, description=text.capitalize() + ".")
    actions = top.add_subparsers(dest="action", metavar="ACTION", required=True)
    made = {
        name: actions.add_parser(
            name,
            help=text,
            description=text[0].upper() + text[1:] + ".",
            epilog=f"example: nitamono model {_EXAMPLES[name]}",
        )
        for name, text in _HELP.items()
    }
    made["pack"].add_argument("file", metavar="FILE", help="the model; a directory: an encoder")
    made["pack"].add_argument("folder", metavar="FOLDER", help="where the packed model comes")
    made["pack"].add_argument("--float16", action="store_true", help="in half the space")
    made["info"].add_argument("file", metavar="FILE", nargs="?", help="else the store's model")
    made["push"].add_argument("target", metavar="TARGET", help="folder or s3:// prefix")
    made["pull"].add_argument("source", metavar="SOURCE", help="what it was pushed to")
    made["pull"].add_argument("--use", action="store_true", help="make it the current model")
    for name in ("info", "list"):
        made[name].add_argument("--json", action="store_true", help="print JSON")
    for name in ("info", "list", "push", "pull"):
        made[name].add_argument("--config", metavar="FILE", required=name != "info",
                                help="the config, a TOML file")  # fmt: skip
        made[name].add_argument("--set", dest="assignments", action="append", default=[],
                                metavar="SECTION.KEY=VALUE", help="change a setting")  # fmt: skip


def execute(given: argparse.Namespace) -> Iterator[str]:
    """Do what the command line says; yields the lines to print.

    Raises:
        UsageError: of the config or the arguments.
        InputError: a model can't be read, written or used.
    """
    actions = {"pack": _pack, "info": _info, "list": _list, "push": _push, "pull": _pull}
    try:
        yield from actions[given.action](given)
    except ModelError as error:
        raise InputError(f"model {given.action}: {error}") from error
    except OSError as error:
        raise InputError(f"model {given.action}: {error}") from error


def _opened(given: argparse.Namespace) -> tuple[Config, Store]:
    settings = config.load(given.config, given.assignments)
    return settings, Store.of(settings)


def _pack(given: argparse.Namespace) -> Iterator[str]:
    source = Path(given.file)
    if source.is_dir():
        packed = onnx.pack(source, given.folder)
    else:
        packed = fasttext.pack(source, given.folder, float16=given.float16)
    yield f"packed      {packed}"
    yield from _lines(_about(packed))


def _info(given: argparse.Namespace) -> Iterator[str]:
    if given.file:
        about = _about(Path(given.file))
    elif given.config:
        settings, store = _opened(given)
        record = model_registry.current(settings, store)
        file = store.model_file(record)
        described = read_json(store.model_path(record.outputs["sha256"]) / "model.json") or {}
        about = {"path": str(file), **described, **record.counts, **record.outputs}
        about["run_id"] = record.run_id
    else:
        raise UsageError("model info: give a FILE, or --config for the store's current model")
    yield from [json.dumps(about, ensure_ascii=False)] if given.json else _lines(about)


def _about(path: Path) -> dict[str, Any]:
    content = read_content(path)
    about: dict[str, Any] = {"path": str(path), "sha256": content.sha256, "bytes": content.size}
    if content.directory:
        return about | {"kind": "onnx", "dim": onnx.load(path).dim}
    packed = fasttext.is_packed(path)
    header = fasttext.read_header(path) if packed else open_source(path).header
    return about | {"kind": "fasttext", "packed": packed, **asdict(header)}


def _list(given: argparse.Namespace) -> Iterator[str]:
    found = [model.about() for model in model_registry.kept(*_opened(given))]
    if given.json:
        yield json.dumps(found, ensure_ascii=False)
        return
    rows = [
        (
            about["hash"],
            about["kind"],
            str(about["dim"]),
            *("-" if n is None else f"{n:,}" for n in (about["words"], about["sampled_items"])),
            f"{about['trained']} by {about['run_id']}",
            "current" if about["current"] else "",
        )
        for about in found
    ]
    head = ("hash", "kind", "dim", "words", "items", "trained", "")
    yield from table(head, rows, right="dim words items", styles={"": lambda _: GOOD})


def _push(given: argparse.Namespace) -> Iterator[str]:
    settings, store = _opened(given)
    record = model_registry.current(settings, store)
    model_registry.push(settings, store, record, given.target)
    yield f"pushed      {store.model_path(record.outputs['sha256'])} to {given.target}"


def _pull(given: argparse.Namespace) -> Iterator[str]:
    settings, store = _opened(given)
    record = model_registry.pull(settings, store, given.source)
    yield f"pulled      {store.model_path(record.outputs['sha256'])}"
    if given.use:
        model_registry.use(settings, store, record)
        yield "current     new runs use it"
    else:
        yield "            the current model stays; --use makes this one current"


def _lines(about: dict[str, Any]) -> Iterator[str]:
    for name, value in about.items():
        if value not in ("", None):
            yield f"{name:<20}  {value}"
