"""Evaluating settings: run the stages up to embed or reuse them, and measure their vectors."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from models import fasttext
from pipeline.catalogue import resolve, source_of
from pipeline.config.sections import Config
from pipeline.evaluation import comparison, methods
from pipeline.evaluation.methods import Method
from pipeline.evaluation.pairs_file import Pairs
from pipeline.evaluation.report import Evaluation
from pipeline.evaluation.sample import (
    Sample,
    StageTables,
    collect_items,
    collect_vectors,
    read_catalogue,
)
from pipeline.runs import own_session
from pipeline.runs.record import new_run_id
from pipeline.runs.runner import Runner
from pipeline.spark.log import SparkLog
from pipeline.stages.embed import stage as embed
from pipeline.stages.ingest import stage as ingest
from pipeline.store import model_folders
from pipeline.store.stage_record import StageRecord
from pipeline.store.store import Store
from pipeline.terminal.progress import Progress, StageLine

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

# The search is quadratic: so many items of 512 dimensions take about a minute on two cores.
DEFAULT_ITEMS = 30_000
_NO_WORDS = "the model reads text, as an encoder does; it has no vectors of the tokens"


@dataclass(frozen=True)
class EvaluationRequest:
    """What to measure.

    Attributes:
        labels: columns of the catalogue's files.
        pairs: pairs with the answer whether they match; None for no pairs.
        k: the number of neighbours that count.
        items: the maximum number of items to measure on.
    """

    labels: tuple[str, ...]
    pairs: Pairs | None
    k: int
    items: int


def evaluate(settings: Config, request: EvaluationRequest, progress: Progress) -> Evaluation:
    """Measure the neighbours under some settings; nothing is published or becomes current.

    Raises:
        UsageError: the catalogue lacks a label's column, or the pairs have too many items.
        InputError: the catalogue can't be used, or no labels or pairs fit its items.
        StageError: a stage, Spark or the model fails.
    """
    run_id, store = new_run_id(), Store.of(settings)
    log = SparkLog(store.run_path(run_id) / "spark.log")
    settings = resolve(settings, say=progress.print)
    catalogue = source_of(settings)
    with own_session.open_session(settings, progress, log) as spark:
        with own_session.step(progress, spark, "evaluate", "catalogue", log):
            snapshot = read_catalogue(spark, catalogue, request.labels)
        runner = Runner(settings, run_id, progress, publishing=False, experiment=True)
        stages = runner.run(ingest.NAME, embed.NAME).stages
        tables = StageTables(store, {name: record for name, _, record in stages})
        with own_session.step(progress, spark, "evaluate", "evaluate", log) as line:
            line.note = "collecting items"
            labels, pairs = request.labels, request.pairs
            sample = collect_items(snapshot, catalogue, tables, labels, pairs, request.items)
            return _measure(sample, tables, request, line, run_id)


def evaluate_vectors(vectors: "DataFrame", request: EvaluationRequest) -> Evaluation:
    """Measure the neighbours of vectors from a frame, without a comparison to other methods.

    Args:
        vectors: item_id string, vector array<float>, and the labels' columns.
        request: what to measure.

    Raises:
        UsageError: the pairs have too many items, or the vectors can't be compared.
        InputError: no labels or pairs fit the items.
    """
    sample = collect_vectors(vectors, request.labels, request.pairs, request.items)
    line = StageLine("")
    return _measure(sample, None, request, line, "")


def _measure(
    sample: Sample,
    tables: StageTables | None,
    request: EvaluationRequest,
    line: StageLine,
    run_id: str,
) -> Evaluation:
    # Labels and pairs are checked before the search, which takes long.
    positions = request.pairs.positions(sample.ids) if request.pairs else None
    comparison.check_labels(sample.labels)
    compared: dict[str, Method] = {"current": methods.Dense(sample.halves)}
    missing: dict[str, str] = {}
    if tables is not None:
        others, missing = _baselines(sample, tables.store, tables.records["train"], line)
        compared |= others
    nearest = {}
    for name, method in compared.items():
        line.note = f"nearest items by {name}"
        nearest[name] = method.nearest(request.k)
    line.note = "measuring"
    labels = {
        name: comparison.compare_labels(codes, nearest, request.k)
        for name, codes in sample.labels.items()
    }
    pairs = None
    if positions:
        pairs = comparison.compare_pairs(positions, compared, nearest, request.k)
    line.note = f"{len(sample.ids):,} items"
    return Evaluation(
        k=request.k,
        items=len(sample.ids),
        total=sample.total,
        run_id=run_id,
        embeddings=tables.records["embed"].fingerprint if tables else "",
        labels=labels,
        pairs=pairs,
        missing=missing,
    )


def _baselines(
    sample: Sample, store: Store, model: StageRecord, line: StageLine
) -> tuple[dict[str, Method], dict[str, str]]:
    """The methods that the settings' vectors are compared with, and why one is missing."""
    baselines: dict[str, Method] = {}
    missing = {}
    reads = model.outputs.get("reads", "tokens" if model.outputs["kind"] == "fasttext" else "text")
    if reads == "tokens":
        line.note = "embedding by mean"
        file = model_folders.local_file(store.models.file(model), "fasttext")
        loaded = fasttext.load(file)
        baselines["mean"] = methods.mean(loaded, sample.tokens)
    else:
        missing["mean"] = _NO_WORDS
    baselines["tfidf"] = methods.Tfidf(sample.tokens)
    return baselines, missing
