"""Settings judged: the stages up to embed are made or reused, and what they give is measured."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from models import ModelError, fasttext
from pipeline.catalogue import Source
from pipeline.config.sections import Config
from pipeline.errors import NitamonoError, StageError
from pipeline.evaluation import comparison, methods
from pipeline.evaluation.methods import Method
from pipeline.evaluation.pairs_file import Pairs
from pipeline.evaluation.report import Evaluation
from pipeline.evaluation.sample import Made, Taken, as_read, take, take_vectors
from pipeline.runs.record import new_run_id
from pipeline.runs.runner import Runner
from pipeline.spark import s3a, session
from pipeline.spark.failures import explain
from pipeline.spark.log import SparkLog
from pipeline.stages.embed import stage as embed
from pipeline.stages.ingest import stage as ingest
from pipeline.store import model_folders
from pipeline.store.stage_record import StageRecord
from pipeline.store.store import Store
from pipeline.terminal.progress import Progress, StageLine

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

# The search is quadratic: so many items of 512 dimensions are to take about a minute on two cores.
DEFAULT_ITEMS = 30_000
_NO_WORDS = "the model is an encoder, which reads text; it has no vectors of words"


@dataclass(frozen=True)
class EvaluationRequest:
    """What is to be measured.

    Attributes:
        labels: columns of the catalogue as read.
        pairs: pairs that match or don't; None for none.
        k: neighbours that count.
        items: items to measure on, at most.
    """

    labels: tuple[str, ...]
    pairs: Pairs | None
    k: int
    items: int


def evaluate(settings: Config, asked: EvaluationRequest, progress: Progress) -> Evaluation:
    """Measure how good neighbours are under these settings. Nothing is published or made current.

    Raises:
        UsageError: the catalogue lacks a label's column, or the pairs have too many items.
        InputError: the catalogue can't be used, or labels or pairs tell nothing of it.
        StageError: a stage, Spark or the model fails.
    """
    run_id, store = new_run_id(), Store.of(settings)
    log = SparkLog(store.run_path(run_id) / "spark.log")
    catalogue = Source.from_config(settings.catalogue, settings.s3.options())
    with _session(settings, progress, log) as spark:
        with _step(progress, spark, "      catalogue", log):
            raw = as_read(spark, catalogue, asked.labels)
        runner = Runner(settings, run_id, progress, publishing=False)
        stages = runner.run(ingest.NAME, embed.NAME).stages
        made = Made(store, {name: record for name, _, record in stages})
        with _step(progress, spark, "      evaluate", log) as line:
            line.note = "collecting items"
            taken = take(raw, catalogue, made, asked.labels, asked.pairs, asked.items)
            return _measured(taken, made, asked, line, run_id)


def evaluate_vectors(vectors: "DataFrame", asked: EvaluationRequest) -> Evaluation:
    """Measure how good the neighbours are that given vectors have; no other method beside them.

    Args:
        vectors: item_id string, vector array<float>, and the labels' columns.
        asked: what is to be measured.

    Raises:
        UsageError: the pairs have too many items, or the vectors can't be comparison.
        InputError: labels or pairs tell nothing of the items.
    """
    taken = take_vectors(vectors, asked.labels, asked.pairs, asked.items)
    line = StageLine("")
    return _measured(taken, None, asked, line, "")


def _measured(
    taken: Taken, made: Made | None, asked: EvaluationRequest, line: StageLine, run_id: str
) -> Evaluation:
    # That nothing can be measured is said before the search, not after it.
    places = asked.pairs.places(taken.ids) if asked.pairs else None
    comparison.check_labels(taken.labels)
    compare: dict[str, Method] = {"current": methods.Dense(taken.halves)}
    missing: dict[str, str] = {}
    if made is not None:
        others, missing = _others(taken, made.store, made.records["train"], line)
        compare |= others
    nearest = {}
    for name, method in compare.items():
        line.note = f"nearest items by {name}"
        nearest[name] = method.nearest(asked.k)
    line.note = "measuring"
    labels = {
        name: comparison.by_label(codes, nearest, asked.k) for name, codes in taken.labels.items()
    }
    pairs = comparison.by_pairs(places, compare, nearest, asked.k) if places else None
    line.note = f"{len(taken.ids):,} items"
    return Evaluation(
        k=asked.k,
        items=len(taken.ids),
        total=taken.total,
        run_id=run_id,
        embeddings=made.records["embed"].fingerprint if made else "",
        labels=labels,
        pairs=pairs,
        missing=missing,
    )


def _others(
    taken: Taken, store: Store, model: StageRecord, line: StageLine
) -> tuple[dict[str, Method], dict[str, str]]:
    """The methods that the settings' vectors are compared with, and why one is not there."""
    found: dict[str, Method] = {}
    missing = {}
    if model.outputs["kind"] == "fasttext":
        line.note = "embedding by mean"
        file = model_folders.local_file(store.model_file(model), "fasttext")
        loaded = fasttext.load(file)
        found["mean"] = methods.mean(loaded, taken.tokens)
    else:
        missing["mean"] = _NO_WORDS
    found["tfidf"] = methods.Tfidf(taken.tokens)
    return found, missing


@contextmanager
def _session(settings: Config, progress: Progress, log: SparkLog) -> "Iterator[SparkSession]":
    """One session for the stages, which make sisters of it, and for what is read after them."""
    with progress.stage("      Spark"):
        spark, own = session.start(s3a.spark_settings(settings), log)
    try:
        yield spark
    finally:
        if own:
            spark.stop()
        log.save()


@contextmanager
def _step(
    progress: Progress, spark: "SparkSession", title: str, log: SparkLog
) -> Iterator[StageLine]:
    """A line of progress of a part that is no stage.

    Raises:
        StageError: Spark or the model fails.
    """
    known = dict(spark.sparkContext.getConf().getAll())
    with progress.stage(title) as line:
        line.follow(spark.sparkContext, f"{log.destination.parent.name}-{title.strip()}")
        try:
            yield line
        except NitamonoError:
            raise
        except ModelError as error:
            raise StageError(f"evaluate: {error}") from error
        except Exception as error:
            why, folder = explain(error, known, log.local), log.destination.parent
            raise StageError(f"evaluate failed: {why}. More is in {folder}") from error
