"""Evaluating settings: run the stages up to embed or reuse them, and measure their vectors."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from models import fasttext
from pipeline.catalogue import resolve, source_of
from pipeline.config.sections import Config
from pipeline.errors import UsageError
from pipeline.evaluation import comparison, figures, judging, methods
from pipeline.evaluation.catalogue_columns import read_catalogue
from pipeline.evaluation.comparison import AGAINST, BASELINES
from pipeline.evaluation.figures import CURRENT, ItemValues, Subject
from pipeline.evaluation.groups import Grouping
from pipeline.evaluation.judging import Pair
from pipeline.evaluation.methods import Method
from pipeline.evaluation.pairs_file import PairPositions
from pipeline.evaluation.request import EvaluationRequest
from pipeline.evaluation.reranked import method_of
from pipeline.evaluation.result import Evaluation, GroupFigures
from pipeline.evaluation.sample import (
    Sample,
    StageTables,
    collect_details,
    collect_halves,
    collect_items,
    collect_vectors,
    items_of,
)
from pipeline.retrieval.ranking import Int64
from pipeline.runs import own_session
from pipeline.runs.record import new_run_id
from pipeline.runs.runner import Runner
from pipeline.spark.log import SparkLog
from pipeline.stages.embed import stage as embed
from pipeline.stages.ingest import stage as ingest
from pipeline.store import model_folders
from pipeline.store.store import Store
from pipeline.terminal.progress import Progress, StageLine

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

_NO_WORDS = "the model reads text, as an encoder does; it has no vectors of the tokens"


@dataclass(frozen=True)
class _Prepared:
    """Everything that is measured; Spark is not needed any more.

    Attributes:
        sample: the items.
        pairs: positions of the pairs' items.
        methods: what is compared, by name.
        nearest: by method, each item's k nearest.
        missing: why a method is not measured, by its name.
    """

    sample: Sample
    pairs: PairPositions | None
    methods: dict[str, Method]
    nearest: dict[str, Int64]
    missing: dict[str, str]


def evaluate(
    settings: Config,
    request: EvaluationRequest,
    progress: Progress,
    against: Config | None = None,
) -> Evaluation:
    """Measure the neighbours under some settings; nothing is published or becomes current.

    Args:
        settings: the config.
        request: what to measure.
        progress: prints the progress.
        against: another config of the same catalogue, which is compared with instead of the plain
            methods; Spark's settings are those of the first.

    Raises:
        UsageError: the catalogue lacks a column, the pairs have too many items, or the other config
            has another catalogue.
        InputError: the catalogue can't be used, or no labels, pairs or answers fit its items.
        StageError: a stage, Spark or the model fails.
    """
    run_id, store = new_run_id(), Store.of(settings)
    earlier = items_of(store, request)
    log = SparkLog(store.run_path(run_id) / "spark.log")
    settings = resolve(settings, say=progress.print)
    catalogue = source_of(settings)
    with own_session.open_session(settings, progress, log) as spark:
        with own_session.step(progress, spark, "evaluate", "catalogue", log):
            snapshot = read_catalogue(spark, catalogue, request.columns)
        tables = _run_stages(settings, run_id, progress)
        others = None
        if against is not None:
            progress.print("      the stages of --against:")
            others = _run_stages(resolve(against, say=progress.print), new_run_id(), progress)
            _check_catalogues(tables, others, against)
        with own_session.step(progress, spark, "evaluate", "evaluate", log) as line:
            line.note = "collecting items"
            sample = collect_items(snapshot, catalogue, tables, request, earlier)
            current = method_of(spark, settings, tables, sample.ids, sample.halves)
            compared: dict[str, Method] = {CURRENT: current}
            missing: dict[str, str] = {}
            if against is None or others is None:
                baselines, missing = _baselines(sample, tables, line)
                compared |= baselines
            else:
                halves = collect_halves(spark, others, sample)
                compared[AGAINST] = method_of(spark, against, others, sample.ids, halves)
            prepared = _prepare(sample, compared, missing, request, line)
            to_ask, details = _questions(prepared, tables, request, spark)
    if request.answers is not None and request.ask:
        judging.ask(to_ask, details, request.answers)
    versions = [one.records["embed"].fingerprint for one in (tables, others) if one is not None]
    return _measure(prepared, request, run_id, *versions)


def evaluate_vectors(vectors: "DataFrame", request: EvaluationRequest) -> Evaluation:
    """Measure the neighbours of vectors from a frame, without a comparison to other methods.

    Args:
        vectors: item_id string, vector array<float>, and the columns of labels and groups.
        request: what to measure.

    Raises:
        UsageError: the pairs have too many items, or the vectors can't be compared.
        InputError: no labels or pairs fit the items.
    """
    sample = collect_vectors(vectors, request)
    compared: dict[str, Method] = {CURRENT: methods.Dense(sample.halves)}
    return _measure(_prepare(sample, compared, {}, request, StageLine("")), request)


def _run_stages(settings: Config, run_id: str, progress: Progress) -> StageTables:
    runner = Runner(settings, run_id, progress, publishing=False, experiment=True)
    stages = runner.run(ingest.NAME, embed.NAME).stages
    return StageTables(Store.of(settings), {name: record for name, _, record in stages})


def _check_catalogues(tables: StageTables, others: StageTables, against: Config) -> None:
    if others.records["ingest"].inputs["files"] != tables.records["ingest"].inputs["files"]:
        raise UsageError(
            f"--against: its catalogue, {source_of(against).label}, is not the one of --config, or "
            "it changed meanwhile; both configs must read the same catalogue"
        )


def _prepare(
    sample: Sample,
    compared: dict[str, Method],
    missing: dict[str, str],
    request: EvaluationRequest,
    line: StageLine,
) -> _Prepared:
    """Search every item's neighbours; labels and pairs are checked before, as this takes long."""
    pairs = request.pairs.positions(sample.ids) if request.pairs else None
    comparison.check_labels(sample.labels)
    if request.answers is not None:
        judging.check(sample.ids, request.answers)
    nearest = {}
    for name, method in compared.items():
        line.note = f"nearest items by {name}"
        nearest[name] = method.nearest(min(request.k, max(1, len(sample.ids) - 1)))
    line.note = f"{len(sample.ids):,} items"
    return _Prepared(sample, pairs, compared, nearest, missing)


def _questions(
    prepared: _Prepared,
    tables: StageTables,
    request: EvaluationRequest,
    spark: "SparkSession",
) -> tuple[list[Pair], dict[str, dict[str, Any]]]:
    """The pairs to ask the judge about, and what is shown of their items, by id."""
    if request.answers is None or not request.ask:
        return [], {}
    ids, nearest = prepared.sample.ids, prepared.nearest
    pairs = judging.pairs_to_ask(ids, nearest, request.answers, request.ask)
    shown = {item for pair in pairs for item in pair}
    return pairs, collect_details(spark, tables, shown, judging.DETAILS) if shown else {}


def _measure(
    prepared: _Prepared,
    request: EvaluationRequest,
    run_id: str = "",
    embeddings: str = "",
    against: str = "",
) -> Evaluation:
    sample, pairs, nearest = prepared.sample, prepared.pairs, prepared.nearest
    values = comparison.item_values(sample.labels, pairs, nearest)
    answers = request.answers
    return Evaluation(
        k=request.k,
        items=len(sample.ids),
        total=sample.total,
        run_id=run_id,
        embeddings=embeddings,
        against=against,
        methods=(CURRENT, AGAINST) if against else (CURRENT, *BASELINES),
        labels={name: comparison.label_sizes(codes) for name, codes in sample.labels.items()},
        figures=figures.compare(values),
        pairs=pairs,
        cosines=comparison.compare_cosines(pairs, prepared.methods) if pairs else None,
        groups={name: _of_groups(grouping, values) for name, grouping in sample.groupings.items()},
        answers=None if answers is None else judging.score(sample.ids, nearest, answers),
        missing=prepared.missing,
    )


def _of_groups(grouping: Grouping, values: dict[Subject, ItemValues]) -> list[GroupFigures]:
    """The figures of each group: the neighbours are those among all items."""
    result = []
    for code, name in enumerate(grouping.names):
        rows = np.flatnonzero(grouping.codes == code)
        own = {
            subject: {
                measure: {method: column[rows] for method, column in by_method.items()}
                for measure, by_method in by_measure.items()
            }
            for subject, by_measure in values.items()
        }
        result.append(GroupFigures(name, len(rows), figures.compare(own)))
    return result


def _baselines(
    sample: Sample, tables: StageTables, line: StageLine
) -> tuple[dict[str, Method], dict[str, str]]:
    """The methods that the settings' vectors are compared with, and why one is missing."""
    baselines: dict[str, Method] = {}
    missing = {}
    model = tables.records["train"]
    reads = model.outputs.get("reads", "tokens" if model.outputs["kind"] == "fasttext" else "text")
    if reads == "tokens":
        line.note = "embedding by mean"
        file = model_folders.local_file(tables.store.models.file(model), "fasttext")
        loaded = fasttext.load(file)
        baselines["mean"] = methods.mean(loaded, sample.tokens)
    else:
        missing["mean"] = _NO_WORDS
    baselines["tfidf"] = methods.Tfidf(sample.tokens)
    return baselines, missing
