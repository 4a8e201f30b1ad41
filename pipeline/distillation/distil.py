"""Making a static model: an encoder reads a sample of the catalogue, and words are fitted to it."""

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from models import Handle, ModelError, embedder, onnx
from models.static import distil as fitting
from models.static.distil import Words
from pipeline.catalogue import resolve
from pipeline.config.sections import Config
from pipeline.errors import InputError
from pipeline.runs import own_session
from pipeline.runs.record import new_run_id
from pipeline.runs.runner import Runner
from pipeline.spark.log import SparkLog
from pipeline.spark.sampling import seeded_sample
from pipeline.stages.context import Job
from pipeline.stages.embed.batches import cleaned_fields, lists_of, split_tokens
from pipeline.stages.ingest import stage as ingest
from pipeline.stages.tokenize import stage as tokenize
from pipeline.stages.tokenize import token_columns
from pipeline.store.store import Store
from pipeline.terminal.progress import Progress, StageLine

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

DEFAULT_DIM, DEFAULT_WORDS, DEFAULT_ITEMS = 128, 50_000, 20_000
_ROWS_OF_A_TASK = 64
_TOKENS = ("title_tokens", "description_tokens")
_SCHEMA = "item_id string, title_tokens string, description_tokens string, vector binary"


@dataclass(frozen=True)
class DistilRequest:
    """What to make.

    Attributes:
        encoder: directory of a sentence encoder, as model.kind = "onnx" takes it.
        folder: where to write the model.
        dim: length of its vectors.
        max_words: the most frequent words that get a row.
        max_items: how many items the encoder reads.
        float16: whether rows are stored in half the space.
    """

    encoder: Path
    folder: Path
    dim: int = DEFAULT_DIM
    max_words: int = DEFAULT_WORDS
    max_items: int = DEFAULT_ITEMS
    float16: bool = False


@dataclass(frozen=True)
class Distilled:
    """A model that was made.

    Attributes:
        path: the packed file.
        dim: length of its vectors.
        words: how many words have a row.
        items: how many items the encoder has read.
    """

    path: Path
    dim: int
    words: int
    items: int


def distil(settings: Config, request: DistilRequest, progress: Progress) -> Distilled:
    """Make a static model of the catalogue's words; nothing is published or becomes current.

    Raises:
        InputError: the catalogue or the encoder can't be used.
        StageError: a stage, Spark or the encoder fails.
    """
    run_id, store = new_run_id(), Store.of(settings)
    log = SparkLog(store.run_path(run_id) / "spark.log")
    settings = resolve(settings, say=progress.print)
    with (
        tempfile.TemporaryDirectory(prefix="nitamono-distil-") as work,
        own_session.open_session(settings, progress, log) as spark,
    ):
        try:
            encoder = onnx.pack(request.encoder, Path(work) / "encoder")
            fitting.check_dim(request.dim, onnx.load(encoder).dim)
            request.folder.mkdir(parents=True, exist_ok=True)
        except (ModelError, OSError) as error:
            raise InputError(f"model distil: {error}") from error
        runner = Runner(settings, run_id, progress, publishing=False, experiment=True)
        stages = runner.run(ingest.NAME, tokenize.NAME).stages
        job = Job(settings, store, "distil", publishing=False, spark=spark)
        for _, _, record in stages:
            job.set_record(record)
        with own_session.step(progress, spark, "model distil", "distil", log) as line:
            handle = job.ship(encoder, "onnx", settings.model.ship)
            return _distil(job, request, handle, line)


def _distil(job: Job, request: DistilRequest, encoder: Handle, line: StageLine) -> Distilled:
    line.note = "counting words"
    words = _vocabulary(job, request.max_words)
    line.note = "the encoder reads items"
    sample = _encoded_sample(job, encoder, request.max_items)
    line.note = "fitting words"
    if not sample.num_rows:
        raise InputError("model distil: no item's text leaves a token; there is nothing to learn")
    titles, descriptions = (split_tokens(sample[name].combine_chunks()) for name in _TOKENS)
    vectors = np.frombuffer(b"".join(sample["vector"].to_pylist()), np.float32)
    targets = vectors.reshape(sample.num_rows, -1)
    rows = fitting.fit(fitting.design(words, titles, descriptions), targets, request.dim)
    # A word that no item of the sample has says nothing: the letters speak for it.
    has_row = np.flatnonzero(rows.any(axis=1))
    if not len(has_row):
        raise InputError(
            "model distil: the items that the encoder read are too few or too alike to tell words "
            "apart; give more with --items"
        )
    path = fitting.write(
        [words.words[index] for index in has_row],
        rows[has_row],
        request.folder,
        text_fingerprint=job.record("tokenize").outputs["text_fingerprint"],
        float16=request.float16,
    )
    return Distilled(path, request.dim, len(has_row), sample.num_rows)


def _vocabulary(job: Job, max_words: int) -> Words:
    """The words that most items have."""
    from pyspark.sql import functions as F

    own = F.array_distinct(F.split(token_columns.joined(), " "))
    words = job.read("tokens", "tokenize").select(F.explode(own).alias("word"))
    counts = words.where("word != ''").groupBy("word").agg(F.count("*").alias("documents"))
    most = counts.orderBy(F.desc("documents"), "word").limit(max_words).toArrow()
    total = job.record("tokenize").tables["tokens"]
    return Words(most["word"].to_pylist(), most["documents"].to_numpy(), total)


def _encoded_sample(job: Job, encoder: Handle, max_items: int) -> pa.Table:
    """The tokens of a sample of items, and the encoder's vectors of their texts, by item_id."""
    tokens = job.read("tokens", "tokenize").select("item_id", *_TOKENS)
    tokens = tokens.where(token_columns.joined() != "")
    total, seed = job.record("tokenize").tables["tokens"], job.config.model.seed
    sample = seeded_sample(tokens, total, max_items, seed, "distil", ordered=False)
    items = job.read("items", "ingest").select("item_id", "title", "description")
    rows = sample.join(items, "item_id")
    # An encoder takes long for a row, so that every core gets some, however few there are.
    cores = job.spark.sparkContext.defaultParallelism
    rows = rows.repartition(max(1, min(4 * cores, max_items // _ROWS_OF_A_TASK)), "item_id")
    return _encode(rows, encoder).toArrow().sort_by("item_id")


def _encode(rows: "DataFrame", encoder: Handle) -> "DataFrame":
    def run(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        model = embedder.load_shipped(encoder)
        for batch in batches:
            texts = cleaned_fields(lists_of(batch["title"], batch["description"]))
            vectors = model.embed(texts.to_pylist())
            values = pa.array([vector.tobytes() for vector in vectors], pa.binary())
            own = [batch["item_id"], *(batch[name] for name in _TOKENS)]
            yield pa.RecordBatch.from_arrays([*own, values], ["item_id", *_TOKENS, "vector"])

    return rows.mapInArrow(run, _SCHEMA)
