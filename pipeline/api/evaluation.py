"""Measuring the quality of neighbours from a notebook, as the verb `evaluate` does."""

import io
from collections.abc import Sequence
from os import PathLike
from typing import TYPE_CHECKING

from pipeline.api.inputs import ConfigSource, Settings, read_config, require_columns
from pipeline.api.session import find_session, working_on
from pipeline.errors import InputError, UsageError
from pipeline.evaluation import pairs_file, report_json
from pipeline.evaluation.evaluate import evaluate as evaluate_config
from pipeline.evaluation.evaluate import evaluate_vectors
from pipeline.evaluation.groups import Group
from pipeline.evaluation.pairs_file import Pairs
from pipeline.evaluation.request import DEFAULT_ITEMS, EvaluationRequest
from pipeline.terminal.progress import Progress

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

_SCHEMA = (
    "measure string, of string, k int, method string, value double, low double, high double, "
    "difference double, difference_low double, difference_high double, items bigint, "
    "grouped_by string, group string"
)


def evaluate(
    source: "ConfigSource | DataFrame" = "nitamono.toml",
    labels: Sequence[str] = (),
    pairs: "str | PathLike[str] | DataFrame | None" = None,
    *,
    k: int = 10,
    items: int = DEFAULT_ITEMS,
    groups: Sequence[str] = (),
    against: ConfigSource | None = None,
    settings: Settings | None = None,
    progress: bool = True,
    spark: "SparkSession | None" = None,
) -> "DataFrame":
    """Measure how good neighbours are by labels and pairs, as `nitamono evaluate` does.

    From a config, the stages up to embed are run or reused, as an experiment, and the vectors are
    compared with the plain mean of word vectors and with TF-IDF, or with those of another config. A
    frame of vectors is measured alone.

    Args:
        source: a file, a mapping or a Config; or a frame of item_id string, vector array<float>,
            and the labels' columns.
        labels: columns of the catalogue's files, or of the frame. Items with equal values in such a
            column count as alike.
        pairs: a CSV file or a frame with a and b, item ids, and match, 1 or 0.
        k: how many neighbours of an item count.
        items: how many items are measured at most: those of the pairs, then a seeded sample. They
            are collected.
        groups: what the items are grouped by, each group being measured too: columns like those of
            labels, length (quarters by the number of tokens), new (the items that the published
            catalogue lacks) or new:RUN. A frame has columns only.
        against: another config of the same catalogue, which is compared with instead of the mean
            and TF-IDF.
        settings: changes to the config, as --set.
        progress: whether progress is shown on stderr.
        spark: the session; else the running one, else a new one.

    Returns:
        one row for each figure: measure string, label_recall, pair_recall, ndcg, reciprocal_rank,
        shared_labels_ndcg, average_precision, roc_auc, best_f1 (all 0 to 1) or threshold (the
        cosine at which best_f1 is reached, -1 to 1); of string, the label's column, all labels
        (their mean), or pairs; k int; method string, current (the vectors), mean, tfidf or against;
        value double; low and high double, its 95% interval; difference double, difference_low and
        difference_high, by how much current is above this method, paired item by item; items
        bigint, the number of items measured; grouped_by and group string, null for all items.

    Raises:
        UsageError: no labels and no pairs are given, or a column is missing.
        InputError: no label or pair applies to the items.
        StageError: a stage, Spark or the model fails.
    """
    from pyspark.sql import DataFrame

    if isinstance(labels, str):
        labels = [labels]
    if not labels and pairs is None:
        raise UsageError("evaluate: give labels, pairs, or both")
    if isinstance(groups, str):
        groups = [groups]
    options = EvaluationRequest(
        labels=tuple(dict.fromkeys(labels)),
        pairs=_read_pairs(pairs),
        k=k,
        items=items,
        groups=tuple(map(Group.of, dict.fromkeys(groups))),
    )
    if isinstance(source, DataFrame):
        if against is not None:
            raise UsageError("against: a frame of vectors is measured alone; give a config")
        require_columns(source, "evaluate", "item_id", "vector", *options.columns)
        session = source.sparkSession
        with working_on(session, "evaluate"):
            evaluation = evaluate_vectors(source, options)
    else:
        config, _ = read_config(source, settings)
        other = None if against is None else read_config(against)[0]
        session = find_session(config, spark)
        with working_on(session, "evaluate"):
            line = Progress(None if progress else io.StringIO())
            evaluation = evaluate_config(config, options, line, other)
    return session.createDataFrame(list(report_json.figures(evaluation)), _SCHEMA)


def _read_pairs(pairs: "str | PathLike[str] | DataFrame | None") -> Pairs | None:
    """Read pairs from a file or a frame.

    Raises:
        UsageError: a column is missing.
        InputError: a row is no pair.
    """
    from pyspark.sql import DataFrame
    from pyspark.sql import functions as F

    if not isinstance(pairs, DataFrame):
        return None if pairs is None else pairs_file.read(str(pairs))
    require_columns(pairs, "pairs", "a", "b", "match")
    with working_on(pairs.sparkSession, "evaluate"):
        columns = [F.col(name).cast("string").alias(name) for name in ("a", "b")]
        rows = pairs.select(*columns, F.col("match").cast("int").alias("match")).collect()
    for row in rows:
        if not row["a"] or not row["b"] or row["match"] not in (0, 1):
            raise InputError(
                f"pairs: a row has a {row['a']!r}, b {row['b']!r}, match {row['match']!r}; a and b "
                "are items' ids, match is 1 or 0"
            )
    return pairs_file.from_rows("pairs", [(row["a"], row["b"], row["match"] == 1) for row in rows])
