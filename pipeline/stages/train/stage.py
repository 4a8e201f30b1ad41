"""train: tokens -> a model in the store; or the model at model.path, checked and stored."""

import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from models import ModelError, fasttext, onnx
from models.content import read_content
from models.fasttext import starting_vectors
from models.fasttext.train import train as train_fasttext
from models.shipping import local_path
from pipeline.errors import InputError, StageError
from pipeline.spark.sampling import collected_sample, seeded_sample
from pipeline.stages.context import Job, StageResult
from pipeline.stages.tokenize import stage as tokenize
from pipeline.stages.train import corpus, packing, promotional_phrases, statistics
from pipeline.stages.train.definition import carries_statistics, inputs
from pipeline.storage.files import read_json, write_json
from pipeline.text.clean import clean

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

__all__ = ["CODE_VERSION", "NAME", "execute", "inputs"]

NAME = "train"
# Raise it when the output for the same inputs and settings changes: see the Stage protocol.
# A new number does not replace the store's current model, which is used until `run --retrain`.
CODE_VERSION = 2

_WORK = "work"
_FIELDS = ("title", "description")
# Of each field of the texts that are collected.
_SAMPLED_CHARACTERS = 2_000


def execute(job: Job, version: str) -> StageResult:
    """Train a model or read that of model.path, pack it, and store it under its content's hash."""
    section = job.config.model
    text = job.record("tokenize").outputs["text_fingerprint"]
    with job.store.models.new_folder() as folder:
        counts: dict[str, Any]
        catalogue: _Catalogue | None = None
        try:
            # Before a model is trained, so that nothing is trained in vain.
            distilled = _distilled_file(job) if section.distilled else None
            if section.path:
                source = _local_copy(job, section.path, section.kind)
                counts = {"source": section.path}
            else:
                source, counts, catalogue = _train(job, folder)
            shipped, model_counts = packing.PACK[section.kind](
                section, source, folder, _text_rules(job)
            )
            if carries_statistics(section):
                counts |= _add_statistics(job, shipped, catalogue)
            if distilled:
                model_counts |= _attach(shipped, distilled)
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
            "dim": model_counts["dim"],
            "text_fingerprint": text,
            "statistics": carries_statistics(section),
        }
        if "reads" in model_counts:
            outputs["reads"] = model_counts.pop("reads")
        counts |= {"model_bytes": content.size, **model_counts}
        description = read_json(folder / "model.json") or {"kind": section.kind}
        write_json(folder / "model.json", {**description, "text_fingerprint": text, **counts})
        job.store.models.save(folder, content.sha256, shipped.name)
    return StageResult(tables={}, counts=counts, outputs=outputs)


def _text_rules(job: Job) -> packing.TextRules:
    text = job.record("tokenize").outputs["text_fingerprint"]
    has_fields = bool(job.config.embed.field)
    words = tokenize.text_fingerprint(job, with_fields=False) if has_fields else text
    return packing.TextRules(text, words)


def _local_copy(job: Job, address: str, kind: str) -> Path:
    """A model, or vectors, on the driver's disk."""
    return local_path(job.ship(address, kind)) if "://" in address else Path(address)


def _attach(packed: Path, distilled: Path) -> dict[str, Any]:
    """Put a distilled model beside the packed one; return their counts together.

    Raises:
        InputError: the packed one takes none.
    """
    try:
        return packing.attach(packed, distilled)
    except ModelError as error:
        problem = str(error).removeprefix(f"{packed}: ")
        raise InputError(f"train: model.distilled: the model of model.path {problem}") from error


def _distilled_file(job: Job) -> Path:
    """The file that model.distilled names.

    Raises:
        InputError: it is of another kind, damaged, or made of tokens of other rules.
    """
    try:
        source = _local_copy(job, job.config.model.distilled, "static")
        return packing.find_distilled(source, _text_rules(job))
    except ModelError as error:
        raise InputError(f"train: model.distilled: {error}") from error


@dataclass(frozen=True)
class _Catalogue:
    """What a model's statistics need of the catalogue.

    Attributes:
        documents: a sample of its documents.
        phrases: its promotional phrases.
    """

    documents: statistics.Documents
    phrases: tuple[str, ...]


def _read_catalogue(job: Job) -> _Catalogue:
    sample, total = _sample(job)
    documents = statistics.read_documents(sample, total, job.config.model.seed)
    return _Catalogue(documents, promotional_phrases.learn_phrases(job))


def _add_statistics(job: Job, packed: Path, catalogue: _Catalogue | None) -> dict[str, Any]:
    """Give a packed model the catalogue's statistics, if it has none to keep; return their counts.

    Args:
        job: the run.
        packed: the model.
        catalogue: of the run, if it was read already.
    """
    kind = job.config.model.kind
    model = packing.load(kind, packed)
    if model.statistics is not None and _know_fields(job, model):
        return {}
    job.line.note = "counting words and phrases"
    catalogue = catalogue or _read_catalogue(job)
    if isinstance(model, fasttext.Embedder):
        counted = statistics.compute(catalogue.documents, model)
    else:
        job.line.note = "looking for what all items have in common"
        texts = _sampled_texts(job, statistics.SAMPLED_TEXTS[kind])
        counted = statistics.compute_of_texts(catalogue.documents, texts, model)
    counted = replace(counted, phrases=catalogue.phrases)
    if packed.is_dir():
        onnx.add_statistics(packed, counted)
    else:
        fasttext.add_statistics(packed, counted)
    return {
        "sampled_items": counted.documents,
        "promotional_phrases": list(catalogue.phrases),
    }


def _know_fields(job: Job, model: fasttext.Embedder | fasttext.TextModel) -> bool:
    """Whether a model's statistics are of tokens with those of the fields that are set.

    Otherwise the fields' words, as common as they may be, would count as words that nobody has.
    """
    if not job.config.embed.field:
        return True
    text = job.record("tokenize").outputs["text_fingerprint"]
    return isinstance(model, fasttext.Embedder) and model.header.text_fingerprint == text


def _sampled_texts(job: Job, max_items: int) -> list[list[str]]:
    """The cleaned titles and descriptions of a sample of the items that have some."""
    from pyspark.sql import functions as F

    fields = [F.substring(name, 1, _SAMPLED_CHARACTERS).alias(name) for name in _FIELDS]
    items = job.read("items", "ingest").select("item_id", *fields)
    total, seed = job.record("tokenize").tables["tokens"], job.config.model.seed
    sample = collected_sample(items, total, max_items, seed, "common")
    rows = zip(*(sample[name].to_pylist() for name in _FIELDS), strict=True)
    cleaned = ([text for text in map(clean, row) if text] for row in rows)
    return [texts for texts in cleaned if texts]


def _sample(job: Job, *, ordered: bool = False) -> tuple["DataFrame", int]:
    """The texts that the model is trained on or counts, and about how many there are.

    Args:
        job: the run.
        ordered: whether they are in the same order in every run.
    """
    section, total = job.config.model, job.record("tokenize").tables["tokens"]
    texts = corpus.texts(job.read("tokens", "tokenize"))
    size, seed = section.sample_items, section.seed
    sample = seeded_sample(texts, total, size, seed, "model", ordered=ordered)
    return sample, min(total, section.sample_items)


def _train(job: Job, folder: Path) -> tuple[Path, dict[str, Any], _Catalogue | None]:
    """Train a fastText model in the folder's work directory; meanwhile Spark reads the catalogue.

    Returns:
        its .bin file, its counts, and the catalogue if the model carries statistics.
    """
    section = job.config.model
    sample, _ = _sample(job)
    occurrences, sizes = corpus.count_vocabulary(sample, section.min_count)
    if not occurrences:
        raise InputError("train: no item's text leaves a token; there is nothing to train on")
    training = corpus.plan(section, occurrences, sizes)
    work = folder / _WORK
    work.mkdir()
    job.line.note = "writing the corpus"
    ordered, _ = _sample(job, ordered=True)
    lines = corpus.write(ordered, work / "corpus.txt")
    counts = {"sampled_items": lines, "corpus_tokens": occurrences, "training": asdict(training)}
    vectors = None
    if section.pretrained:
        job.line.note = "reading the pretrained vectors"
        vectors = work / "start.vec"
        try:
            source = _local_copy(job, section.pretrained, section.kind)
            counts["pretrained_words"] = starting_vectors.write(
                source, work / "corpus.txt", training.dim, vectors
            )
        except ModelError as error:
            raise InputError(f"train: model.pretrained: {error}") from error
    job.line.note = "training"

    def show(share: float) -> None:
        job.line.note = f"training, {share:.0%} done"

    binary = work / "trained.bin"
    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(_read_catalogue, job) if carries_statistics(section) else None
        train_fasttext(work / "corpus.txt", binary, training, show, vectors=vectors)
        catalogue = reading.result() if reading else None
    job.line.note = "packing"
    return binary, counts, catalogue
