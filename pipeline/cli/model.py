"""The verb `model` and its verbs: pack, distil, info, list, push, pull."""

from argparse import Namespace
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from models import ModelError, fasttext, onnx, static
from models.content import read_content
from models.fasttext.packing import open_source
from pipeline.cli.argument_types import positive
from pipeline.cli.parser import Parser, add_config, sentence, wrap
from pipeline.config import reading
from pipeline.config.sections import Config
from pipeline.distillation.distil import (
    DEFAULT_DIM,
    DEFAULT_ITEMS,
    DEFAULT_WORDS,
    DistilRequest,
    distil,
)
from pipeline.errors import InputError, UsageError
from pipeline.stages.train import model_registry
from pipeline.storage.files import read_json
from pipeline.store.store import Store
from pipeline.terminal.colours import GOOD
from pipeline.terminal.output import print_lines, table, to_json
from pipeline.terminal.progress import Progress

_TEXTS = {
    "pack": "pack a fastText model (.bin, .ftz, .vec) or a static one, or copy an encoder",
    "distil": "make a static model of the catalogue's words from a sentence encoder",
    "info": "describe a model file, or the store's current model",
    "list": "list the models that the store keeps",
    "push": "copy the store's current model to a folder or into an object store",
    "pull": "copy a pushed model into the store, and check its sha256",
}
_EXAMPLES = {
    "pack": "pack cc.ja.300.bin packed/",
    "distil": "distil encoder/ static/ --config nitamono.toml",
    "info": "info --config nitamono.toml",
    "list": "list --config nitamono.toml",
    "push": "push s3://bucket/models/spring --config nitamono.toml",
    "pull": "pull s3://bucket/models/spring --use --config nitamono.toml",
}


def add_arguments(parser: Parser) -> None:
    """Add the verb's own verbs."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    parsers = {
        name: actions.add_parser(
            name,
            help=text,
            description=wrap(sentence(text)),
            epilog=f"example: nitamono model {_EXAMPLES[name]}",
        )
        for name, text in _TEXTS.items()
    }
    pack, info, push, pull = (parsers[name] for name in ("pack", "info", "push", "pull"))
    pack.add_argument("file", metavar="FILE", help="the model's file or directory")
    pack.add_argument("folder", metavar="FOLDER", help="the folder for the packed model")
    pack.add_argument(
        "--float16", action="store_true", help="store half-precision values, in half the space"
    )
    info.add_argument(
        "file", metavar="FILE", nargs="?", help="a model file; default: the store's current model"
    )
    push.add_argument("target", metavar="TARGET", help="a folder, or s3://, gs:// or abfss://")
    pull.add_argument(
        "source", metavar="SOURCE", help="the folder or address that it was pushed to"
    )
    pull.add_argument("--use", action="store_true", help="make it the store's current model")
    for name in ("distil", "info", "list"):
        parsers[name].add_argument("--json", action="store_true", help="print JSON")
    _add_distil(parsers["distil"])
    for name in ("distil", "info", "list", "push", "pull"):
        add_config(parsers[name], required=name != "info")


def _add_distil(parser: Parser) -> None:
    parser.add_argument("encoder", metavar="ENCODER", help="the encoder's directory")
    parser.add_argument("folder", metavar="FOLDER", help="the folder for the static model")
    for option, default, text in (
        ("--dim", DEFAULT_DIM, "length of the vectors"),
        ("--max-words", DEFAULT_WORDS, "the words of most items that get a vector"),
        ("--items", DEFAULT_ITEMS, "items that the encoder reads, at most"),
    ):
        parser.add_argument(
            option,
            type=positive,
            default=default,
            metavar="N",
            help=f"{text}; default: {default:,}",
        )
    parser.add_argument(
        "--float16", action="store_true", help="store half-precision values, in half the space"
    )


def execute(arguments: Namespace) -> None:
    """Execute the verb's verb.

    Raises:
        UsageError: the config or the arguments are wrong.
        InputError: a model can't be read, written or used.
    """
    actions = {
        "pack": _pack,
        "distil": _distil,
        "info": _info,
        "list": _list,
        "push": _push,
        "pull": _pull,
    }
    try:
        print_lines(actions[arguments.action](arguments))
    except (ModelError, OSError) as error:
        raise InputError(f"model {arguments.action}: {error}") from error


def _config_and_store(arguments: Namespace) -> tuple[Config, Store]:
    config = reading.load(arguments.config, arguments.assignments)
    return config, Store.of(config)


def _pack(arguments: Namespace) -> Iterator[str]:
    source = Path(arguments.file)
    if source.is_dir() and static.is_directory(source):
        packed = static.pack(source, arguments.folder, float16=arguments.float16)
    elif source.is_dir():
        packed = onnx.pack(source, arguments.folder)
    else:
        packed = fasttext.pack(source, arguments.folder, float16=arguments.float16)
    yield f"packed      {packed}"
    yield from _lines(_describe(packed))


def _distil(arguments: Namespace) -> Iterator[str]:
    config = reading.load(arguments.config, arguments.assignments)
    request = DistilRequest(
        encoder=Path(arguments.encoder),
        folder=Path(arguments.folder),
        dim=arguments.dim,
        max_words=arguments.max_words,
        max_items=arguments.items,
        float16=arguments.float16,
    )
    made = distil(config, request, Progress())
    if arguments.json:
        yield to_json({**asdict(made), "path": str(made.path)})
        return
    yield f"distilled   {made.path}"
    yield f"            {made.words:,} words, from {made.items:,} items that the encoder read"
    yield "use it      [model] distilled = the folder, beside fastText"
    yield '            or [model] kind = "static", path = the folder, alone'


def _info(arguments: Namespace) -> Iterator[str]:
    if arguments.file:
        description = _describe(Path(arguments.file))
    elif arguments.config:
        config, store = _config_and_store(arguments)
        record = model_registry.current_model(config, store)
        file = store.models.file(record)
        stored = read_json(store.models.path(record.outputs["sha256"]) / "model.json") or {}
        description = {"path": str(file), **stored, **record.counts, **record.outputs}
        description["run_id"] = record.run_id
    else:
        raise UsageError("model info: give a FILE, or --config for the store's current model")
    if arguments.json:
        yield to_json(description)
    else:
        yield from _lines(description)


def _describe(path: Path) -> dict[str, Any]:
    content = read_content(path)
    file = {"path": str(path), "sha256": content.sha256, "bytes": content.size}
    if content.directory:
        return file | {"kind": "onnx", "dim": onnx.load(path).dim}
    packed = fasttext.is_packed(path)
    if packed and static.has_tokenizer(path):
        return file | {"kind": "static", "packed": True, "dim": static.load(path).dim}
    header = fasttext.read_header(path) if packed else open_source(path).header
    kind = "static" if header.model == "static" else "fasttext"
    description = file | {"kind": kind, "packed": packed, **asdict(header)}
    beside = getattr(fasttext.load(path), "distilled", None) if packed else None
    if beside is not None:
        description |= {"distilled_words": beside.header.nwords, "distilled_dim": beside.dim}
        description["dim"] += beside.dim
    return description


def _list(arguments: Namespace) -> Iterator[str]:
    stored = model_registry.stored_models(*_config_and_store(arguments))
    models = [model.about() for model in stored]
    if arguments.json:
        yield to_json(models)
        return
    rows = [
        (
            model["hash"],
            model["kind"],
            str(model["dim"]),
            *("-" if n is None else f"{n:,}" for n in (model["words"], model["sampled_items"])),
            f"{model['trained']} by {model['run_id']}",
            "current" if model["current"] else "",
        )
        for model in models
    ]
    head = ("hash", "kind", "dim", "words", "items", "trained", "")
    yield from table(head, rows, right="dim words items", styles={"": lambda _: GOOD})


def _push(arguments: Namespace) -> Iterator[str]:
    config, store = _config_and_store(arguments)
    record = model_registry.current_model(config, store)
    model_registry.push(config, store, record, arguments.target)
    yield f"pushed      {store.models.path(record.outputs['sha256'])} to {arguments.target}"


def _pull(arguments: Namespace) -> Iterator[str]:
    config, store = _config_and_store(arguments)
    record = model_registry.pull(config, store, arguments.source)
    yield f"pulled      {store.models.path(record.outputs['sha256'])}"
    if arguments.use:
        model_registry.make_current(config, store, record)
        yield "current     new runs use it"
    else:
        yield "            the current model stays; --use makes this one current"


def _lines(description: dict[str, Any]) -> Iterator[str]:
    for name, value in description.items():
        if value not in ("", None):
            yield f"{name:<20}  {value}"
