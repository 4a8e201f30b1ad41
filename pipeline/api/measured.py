"""How good neighbours are: what the verb `evaluate` measures, as a frame."""

import io
from collections.abc import Sequence
from os import PathLike
from typing import TYPE_CHECKING

from pipeline.api.arguments import Given, Settings, live, need, settled, work
from pipeline.errors import InputError, UsageError
from pipeline.evaluation import pairs_file, report
from pipeline.evaluation.evaluate import DEFAULT_ITEMS, EvaluationRequest, evaluate_vectors
from pipeline.evaluation.evaluate import evaluate as evaluate_settings
from pipeline.evaluation.pairs_file import Pairs
from pipeline.terminal.progress import Progress

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

_SCHEMA = (
    "measure string, of string, k int, method string, value double, low double, high double, "
    "difference double, difference_low double, difference_high double, items bigint"
)


def evaluate(
    source: "Given | DataFrame" = "nitamono.toml",
    labels: Sequence[str] = (),
    pairs: "str | PathLike[str] | DataFrame | None" = None,
    *,
    k: int = 10,
    items: int = DEFAULT_ITEMS,
    settings: Settings | None = None,
    progress: bool = True,
    spark: "SparkSession | None" = None,
) -> "DataFrame":
    """Measure how good neighbours are by labels and pairs, as `nitamono evaluate` does.

    Of a config the stages up to embed are made or reused, as an experiment, and its vectors stand
    beside the plain mean of word vectors and TF-IDF. Of vectors of your own these alone are
    measured.

    Args:
        source: a file, a mapping or a Config; or a frame of item_id string, vector array<float>,
            and the labels' columns.
        labels: columns of the catalogue's files, or of the frame, whose equal values say that items
            are alike.
        pairs: a CSV file or a frame with a and b, item ids, and match, 1 or 0.
        k: neighbours that count.
        items: items to measure on, at most: those of the pairs, then a seeded sample, collected.
        settings: changes to the config, as --set.
        progress: whether progress is told on stderr.
        spark: the session; else the live one, else a new one.

    Returns:
        a row a figure: measure string, label_recall, pair_recall, average_precision, roc_auc,
        best_f1 or threshold (the cosine from which that is had), each 0 to 1, a cosine -1 to 1;
        of string, the label's column, or pairs; k int; method string, current (the vectors), mean
        or tfidf; value double; low and high double, its 95% interval; difference double,
        difference_low and difference_high, by how much current is above this method, paired item by
        item; items bigint, that were measured.

    Raises:
        UsageError: no labels and no pairs are given, or a column is missing.
        InputError: labels or pairs tell nothing of the items.
        StageError: a stage, Spark or the model fails.
    """
    from pyspark.sql import DataFrame

    if isinstance(labels, str):
        labels = [labels]
    if not labels and pairs is None:
        raise UsageError("evaluate: give labels, pairs, or both")
    told = _pairs(pairs)
    asked = EvaluationRequest(tuple(dict.fromkeys(labels)), told, k, items)
    if isinstance(source, DataFrame):
        need(source, "evaluate", "item_id", "vector", *asked.labels)
        session = source.sparkSession
        with work(session, "evaluate"):
            found = evaluate_vectors(source, asked)
    else:
        settings_, _ = settled(source, settings)
        session = live(settings_, spark)
        with work(session, "evaluate"):
            line = Progress() if progress else Progress(io.StringIO())
            found = evaluate_settings(settings_, asked, line)
    return session.createDataFrame(list(report.figures(found)), _SCHEMA)


def _pairs(pairs: "str | PathLike[str] | DataFrame | None") -> Pairs | None:
    from pyspark.sql import DataFrame
    from pyspark.sql import functions as F

    if not isinstance(pairs, DataFrame):
        return None if pairs is None else pairs_file.read(str(pairs))
    need(pairs, "pairs", "a", "b", "match")
    with work(pairs.sparkSession, "evaluate"):
        columns = [F.col(name).cast("string").alias(name) for name in ("a", "b")]
        rows = pairs.select(*columns, F.col("match").cast("int").alias("match")).collect()
    for row in rows:
        if not row["a"] or not row["b"] or row["match"] not in (0, 1):
            raise InputError(
                f"pairs: a row has a {row['a']!r}, b {row['b']!r}, match {row['match']!r}; a and b "
                "are items' ids, match is 1 or 0"
            )
    return pairs_file.of("pairs", [(row["a"], row["b"], row["match"] == 1) for row in rows])
