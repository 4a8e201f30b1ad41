"""train: tokens -> a model in the store; or the model at model.path, checked and stored."""

import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from models import ModelError, fasttext, onnx
from models.content import read_content
from models.fasttext import starting_vectors
from models.fasttext.train import train as train_fasttext
from models.shipping import local_path
from models.stores import objects
from pipeline.config.sections import ModelSection
from pipeline.errors import InputError, StageError
from pipeline.spark.sampling import collected_sample, seeded_sample
from pipeline.stages.context import Job, StageResult
from pipeline.stages.tokenize import stage as tokenize
from pipeline.stages.train import corpus, packing, promotional_phrases, statistics
from pipeline.storage.files import read_json, write_json
from pipeline.store.fingerprint import fingerprint
from pipeline.store.stage_record import StageRecord
from pipeline.text.clean import clean

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

NAME = "train"
# Raise it when the output for the same inputs and settings changes: see the Stage protocol.
# A new number does not replace the store's current model, which is used until `run --retrain`.
CODE_VERSION = 2

_WORK = "work"
_FIELDS = ("title", "description")
# Of each field of the texts that are collected.
_SAMPLED_CHARACTERS = 2_000

# Settings that say where a model comes from or how it travels, and do not change its vectors.
_LOCATION_SETTINGS = {"path", "ship", "pretrained", "distilled"}


def inputs(job: Job) -> dict[str, Any]:
    """The settings that decide the model, and the tokens or the model file that it is made of."""
    section = job.config.model
    tokens = job.record("tokenize")
    settings = training_settings(job)
    if not section.path:
        return {"training": settings, "tokens": tokens.fingerprint}
    names = ["kind", "engine", "float16"]
    if section.kind == "static":
        names.append("truncate_dim")
    if _carries_statistics(section):
        names += ["sample_items", "seed"]
    if section.distilled:
        names.append("distilled")
    model_inputs = {
        "given": _content_sha256(job, "path"),
        "settings": {name: settings[name] for name in names},
        "text": tokens.outputs["text_fingerprint"],
    }
    # Statistics are counted on the tokens.
    return model_inputs | ({"tokens": tokens.fingerprint} if _carries_statistics(section) else {})


def _content_sha256(job: Job, name: Literal["path", "pretrained", "distilled"]) -> str:
    """The sha256 of the file or directory that a setting of [model] names."""
    address: str = getattr(job.config.model, name)
    if address in job.contents:
        return job.contents[address]
    try:
        if "://" in address:
            content = objects.content_of(address, job.config.object_stores())
        else:
            content = read_content(Path(address))
    except ModelError as error:
        # Some errors begin with the path.
        problem = str(error).removeprefix(f"{address}: ")
        raise InputError(f"model.{name} {address}: {problem}; check [model] {name}") from error
    job.contents[address] = content.sha256
    return content.sha256


def _carries_statistics(section: ModelSection) -> bool:
    """Whether a model under these settings carries statistics of the catalogue."""
    return section.kind != "fasttext" or section.engine == "mapped"


def has_required_statistics(section: ModelSection, record: StageRecord) -> bool:
    """Whether a stored model carries statistics, if the settings ask for them."""
    return bool(record.outputs.get("statistics")) or not _carries_statistics(section)


def reusable_model(job: Job) -> StageRecord | None:
    """The record of the store's current model, if this run can use it instead of training one.

    It can if the model was trained with the same settings on tokens of the same text rules, and on
    at least half as many items as there are now. For a model from model.path the same holds of the
    items that its statistics were counted on.
    """
    section = job.config.model
    text = job.record("tokenize").outputs["text_fingerprint"]
    key = model_key(model_definition(inputs(job)), text)
    training = job.state.models.get(key)
    current = job.store.find_record(NAME, training) if training else _published_model(job, key)
    if current is None or not has_required_statistics(section, current):
        return None
    tokens = job.record("tokenize")
    items = tokens.tables["tokens"] - tokens.counts["items_without_tokens"]
    available = min(items, section.sample_items)
    # A model from model.path may have brought statistics of its own.
    sample_size = current.counts.get("sampled_items", available)
    return current if available <= 2 * sample_size else None


def _published_model(job: Job, key: str) -> StageRecord | None:
    """The record of the published version's model, where the file of the current one is damaged."""
    published = job.state.published
    if published is None or key not in job.state.damaged_models:
        return None
    record = job.store.find_record(NAME, published.stages.get(NAME, ""))
    if record is None:
        return None
    own = model_key(model_definition(record.inputs), record.outputs["text_fingerprint"])
    return record if own == key else None


def model_definition(inputs: dict[str, Any]) -> dict[str, Any]:
    """What defines a model, except the catalogue: the part of a training's inputs that names it."""
    if "given" in inputs:
        return {"given": inputs["given"], **inputs["settings"]}
    settings: dict[str, Any] = inputs["training"]
    return settings


def model_key(definition: dict[str, Any], text_fingerprint: str) -> str:
    """The key of the current model: 16 hexadecimal digits of its definition and its text rules."""
    return fingerprint({"settings": definition, "text": text_fingerprint})


def training_settings(job: Job) -> dict[str, Any]:
    """The settings that decide what a trained model is."""
    section = job.config.model
    no_effect = _LOCATION_SETTINGS | (set() if section.kind == "static" else {"truncate_dim"})
    settings: dict[str, Any] = section.model_dump(exclude=no_effect)
    # What a file holds decides, and not where it is.
    if section.pretrained:
        settings["pretrained"] = f"sha256:{_content_sha256(job, 'pretrained')[:16]}"
    if section.distilled:
        settings["distilled"] = f"sha256:{_content_sha256(job, 'distilled')[:16]}"
    return settings


def execute(job: Job, version: str) -> StageResult:
    """Train a model or read that of model.path, pack it, and store it under its content's hash."""
    section = job.config.model
    text = job.record("tokenize").outputs["text_fingerprint"]
    with job.store.models.new_folder() as folder:
        counts: dict[str, Any]
        catalogue: _Catalogue | None = None
        try:
            if section.path:
                source = _local_copy(job, section.path, section.kind)
                counts = {"source": section.path}
            else:
                source, counts, catalogue = _train(job, folder)
            shipped, model_counts = packing.PACK[section.kind](
                section, source, folder, _text_rules(job)
            )
            if _carries_statistics(section):
                counts |= _add_statistics(job, shipped, catalogue)
            if section.distilled:
                model_counts |= _attach_distilled(job, shipped)
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
            "statistics": _carries_statistics(section),
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


def _attach_distilled(job: Job, packed: Path) -> dict[str, Any]:
    """Put the model of model.distilled beside the packed one; return their counts.

    Raises:
        InputError: it is of another kind, damaged, or made of tokens of other rules.
    """
    address = job.config.model.distilled
    try:
        source = _local_copy(job, address, "static")
        return packing.attach_distilled(packed, source, _text_rules(job))
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
        reading = pool.submit(_read_catalogue, job) if _carries_statistics(section) else None
        train_fasttext(work / "corpus.txt", binary, training, show, vectors=vectors)
        catalogue = reading.result() if reading else None
    job.line.note = "packing"
    return binary, counts, catalogue
