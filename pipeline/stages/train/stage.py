"""train: tokens -> a model in the store; or a given model, checked and kept there."""

import shutil
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from models import ModelError, fasttext, onnx
from models.content import read_content
from models.fasttext.train import train as train_fasttext
from models.s3 import objects
from models.shipping import local_path
from pipeline.config.sections import ModelSection
from pipeline.errors import InputError, StageError
from pipeline.spark.sampling import seeded_sample
from pipeline.stages.context import Job, StageResult
from pipeline.stages.train import corpus, promotions, statistics
from pipeline.storage.files import read_json, write_json
from pipeline.store.fingerprint import fingerprint
from pipeline.store.stage_record import StageRecord

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

NAME = "train"
# Raise it when the output for the same inputs and settings changes: see the Stage protocol.
# A new number does not replace the store's current model, which is used until `run --retrain`.
CODE_VERSION = 1
# Within a model's folder: the mapped model, the library's own, the encoder's directory.
_PACKED, _BINARY, _ENCODER = "model.safetensors", "model.bin", "encoder"

_WORK = "work"

# Settings that say where a model comes from or how it travels, not what it is.
_NOT_OF_THE_MODEL = {"path", "ship"}


def inputs(job: Job) -> dict[str, Any]:
    """The settings that make the model, and what it is made of: tokens, or a given model."""
    section = job.config.model
    tokens = job.record("tokenize")
    settings = settings_of(section)
    if not section.path:
        return {"training": settings, "tokens": tokens.fingerprint}
    try:
        if "://" in section.path:
            given = objects.content_of(section.path, job.config.s3.options()).sha256
        else:
            given = read_content(Path(section.path)).sha256
    except ModelError as error:
        raise InputError(f"model.path {section.path}: {error}; check [model] path") from error
    used = ["kind", "engine", "float16"]
    if _counts(section):
        used += ["sample_items", "seed"]
    of_given = {
        "given": given,
        "settings": {name: settings[name] for name in used},
        "text": tokens.outputs["text_fingerprint"],
    }
    # CatalogueStatistics are counted on the tokens.
    return of_given | ({"tokens": tokens.fingerprint} if _counts(section) else {})


def _counts(section: ModelSection) -> bool:
    """Whether the model is one that carries statistics of the catalogue."""
    return section.kind == "fasttext" and section.engine == "mapped"


def complete(section: ModelSection, record: StageRecord) -> bool:
    """Whether a model carries statistics, if it should."""
    return bool(record.outputs.get("statistics")) or not _counts(section)


def reusable(job: Job) -> StageRecord | None:
    """The record of the store's current model, if it fits a new night: training is not nightly.

    It does if it was trained with the same settings on the same kind of tokens, and on at least
    half as many items as could be had now; or if it was given, and its statistics were counted so.
    """
    section = job.config.model
    text = job.record("tokenize").outputs["text_fingerprint"]
    current = job.store.current_model(key_of(made_from(inputs(job)), text))
    if current is None or not complete(section, current):
        return None
    tokens = job.record("tokenize")
    items = tokens.tables["tokens"] - tokens.counts["items_without_tokens"]
    available = min(items, section.sample_items)
    # A given model can have come with statistics of its own.
    sampled = current.counts.get("sampled_items", available)
    return current if available <= 2 * sampled else None


def made_from(inputs: dict[str, Any]) -> dict[str, Any]:
    """What makes a model, but for the catalogue, of the inputs of a training."""
    if "given" in inputs:
        return {"given": inputs["given"], **inputs["settings"]}
    settings: dict[str, Any] = inputs["training"]
    return settings


def key_of(made_from: dict[str, Any], text_fingerprint: str) -> str:
    """Names a kind of model: what makes it, and the rules of the tokens that it is trained on."""
    return fingerprint({"settings": made_from, "text": text_fingerprint})


def settings_of(section: ModelSection) -> dict[str, Any]:
    """The settings that make a trained model what it is."""
    settings: dict[str, Any] = section.model_dump(exclude=_NOT_OF_THE_MODEL)
    return settings


def execute(job: Job, version: str) -> StageResult:
    """Train or take the model, pack it, and put it into the store under its content's hash."""
    section = job.config.model
    text = job.record("tokenize").outputs["text_fingerprint"]
    with job.store.new_model() as folder:
        counts: dict[str, Any]
        try:
            if section.path:
                source, counts = _given(job), {"source": section.path}
            else:
                source, counts = _train(job, folder)
            make = _encoder if section.kind == "onnx" else _fasttext
            shipped, about = make(section, source, folder, text)
            if _counts(section):
                counts |= _with_statistics(job, shipped)
            shutil.rmtree(folder / _WORK, ignore_errors=True)
            job.line.note = ""
        except ModelError as error:
            kind = InputError if section.path else StageError
            raise kind(f"train: {error}") from error
        content = read_content(shipped)
        outputs = {
            "kind": section.kind,
            "file": shipped.name,
            "sha256": content.sha256,
            "dim": about["dim"],
            "text_fingerprint": text,
            "statistics": _counts(section),
        }
        counts |= {"model_bytes": content.size, **about}
        described = read_json(folder / "model.json") or {"kind": section.kind}
        write_json(folder / "model.json", {**described, "text_fingerprint": text, **counts})
        job.store.save_model(folder, content.sha256, shipped.name)
    return StageResult(tables={}, counts=counts, outputs=outputs)


def _given(job: Job) -> Path:
    """The given model on the driver's disk."""
    section = job.config.model
    if "://" not in section.path:
        return Path(section.path)
    return local_path(job.ship(section.path, section.kind))


def _fasttext(
    section: ModelSection, source: Path, folder: Path, text: str
) -> tuple[Path, dict[str, Any]]:
    """The file to ship, and what is in it."""
    if fasttext.is_packed(source):
        header = fasttext.read_header(source)
        if header.text_fingerprint not in ("", text):
            raise ModelError(
                f"{source}: its text fingerprint is {header.text_fingerprint}, the tokens' is "
                f"{text}: it was trained on tokens of other rules; train or pack it again"
            )
        if section.engine == "library":
            raise ModelError(f"{source}: packed; the engine library needs the .bin it was made of")
        shutil.copyfile(source, folder / _PACKED)
    else:
        fasttext.pack(source, folder, text_fingerprint=text, float16=section.float16)
        header = fasttext.read_header(folder / _PACKED)
    about = {"dim": header.dim, "words": header.nwords, "ngram_rows": header.bucket}
    if section.engine == "mapped":
        return folder / _PACKED, about
    fasttext.load(source)
    shutil.copyfile(source, folder / _BINARY)
    return folder / _BINARY, about


def _encoder(
    section: ModelSection, source: Path, folder: Path, text: str
) -> tuple[Path, dict[str, Any]]:
    """The directory to ship, and what is in it; it reads text, whatever the tokens' rules."""
    packed = onnx.pack(source, folder / _ENCODER)
    return packed, {"dim": onnx.load(packed).dim}


def _with_statistics(job: Job, packed: Path) -> dict[str, Any]:
    """Count the catalogue's statistics for a model that carries none; returns what was counted."""
    model = fasttext.load(packed)
    assert isinstance(model, fasttext.Embedder)  # noqa: S101 - it is packed
    if model.statistics is not None:
        return {}
    job.line.note = "counting words"
    sampled, total = _sample(job)
    found = statistics.count(sampled, total, model, job.config.model.seed)
    job.line.note = "learning promotional phrases"
    found = replace(found, phrases=promotions.learned(job))
    fasttext.add_statistics(packed, found)
    return {"sampled_items": found.documents, "promotional_phrases": list(found.phrases)}


def _sample(job: Job) -> tuple["DataFrame", int]:
    """The token lists that the model is made of, and about how many there are."""
    section, total = job.config.model, job.record("tokenize").tables["tokens"]
    every = corpus.texts(job.read("tokens", "tokenize"))
    sampled = seeded_sample(every, total, section.sample_items, section.seed, "model")
    return sampled, min(total, section.sample_items)


def _train(job: Job, folder: Path) -> tuple[Path, dict[str, Any]]:
    section = job.config.model
    sampled, _ = _sample(job)
    occurrences, sizes = corpus.count_vocabulary(sampled, section.min_count)
    if not occurrences:
        raise InputError("train: no item's text leaves a token; there is nothing to train on")
    training = corpus.plan(section, occurrences, sizes)
    work = folder / _WORK
    work.mkdir()
    job.line.note = "writing the corpus"
    lines = corpus.write(sampled, work / "corpus.txt")
    job.line.note = "training"

    def show(share: float) -> None:
        job.line.note = f"training, {share:.0%} done"

    trained = work / "trained.bin"
    train_fasttext(work / "corpus.txt", trained, training, show)
    job.line.note = "packing"
    counts = {"sampled_items": lines, "corpus_tokens": occurrences, "training": asdict(training)}
    return trained, counts
