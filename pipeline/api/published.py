"""Runs, and the tables that they have made."""

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

from pipeline.api.arguments import Given, Settings, ids_of, live, need, settled, work
from pipeline.errors import UsageError
from pipeline.inspection import diff as differences
from pipeline.runs import request, summary
from pipeline.runs.summary import Result
from pipeline.stages import NAMES
from pipeline.stages.publish import comparison
from pipeline.store.resolve import LATEST, ResolvedVersion, resolve
from pipeline.store.store import Store
from pipeline.terminal.progress import Progress

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

_UNKNOWN_NAMED = 5


def run(
    config: Given = "nitamono.toml",
    settings: Settings | None = None,
    *,
    run_id: str = "",
    first: str = NAMES[0],
    last: str = NAMES[-1],
    publish: bool = False,
    retrain: bool = False,
    full: bool = False,
    as_of: str = "",
    wait: float = 0.0,
    progress: bool = True,
    spark: "SparkSession | None" = None,
) -> Result:
    """Run the stages that are not done yet and publish the table, as `nitamono run` does.

    Args:
        config: a file, a mapping or a Config.
        settings: changes to it, as --set; with any the run is an experiment and does not publish.
        run_id: the run's name; else the time of its start.
        first: the stage to start with; what comes before must be done.
        last: the stage to stop after.
        publish: move LATEST where that is left open: after settings or as_of.
        retrain: train a new model instead of using the store's current one.
        full: build on no earlier night; model and quantiser stay.
        as_of: a run whose catalogue and model are used.
        wait: for another run that publishes, in seconds.
        progress: whether progress is told on stderr.
        spark: the session; else the live one, else a new one.

    Returns:
        run_id, published, version, path, recall, counts, stages.

    Raises:
        UsageError: of the config or the arguments.
        InputError: the catalogue can't be used; nothing is published.
        GateError: the table was written and held back.
        StageError: a stage failed.
        LockedError: another run publishes.
    """
    found, assignments = settled(config, settings)
    asked = request.RunRequest(
        first=first,
        last=last,
        publish=publish,
        retrain=retrain,
        full=full,
        as_of=as_of,
        wait=wait,
        run_id=run_id,
        assignments=tuple(assignments),
    )
    with work(live(found, spark), "run"):
        line = Progress() if progress else Progress(io.StringIO())
        return summary.result(Store.of(found), asked.run(found, line))


def table(
    config: Given = "nitamono.toml",
    name: str = "similar_items",
    version: str = LATEST,
    *,
    titles: bool = False,
    spark: "SparkSession | None" = None,
) -> "DataFrame":
    """A table of the store.

    Args:
        config: whose store.
        name: similar_items, short_lists, items, quarantine, tokens, embeddings, ...
        version: LATEST, a run, or a version of the similar-item table, that the table belongs to.
        titles: add the title of item_id, and of similar_id as similar_title.
        spark: the session; else the live one, else a new one.

    Returns:
        its columns, as docs/store.md lists them: similar_items has item_id string, rank int from 1,
        similar_id string, score float, a cosine from -1 to 1.

    Raises:
        UsageError: there is no such table or version.
    """
    found, _ = settled(config)
    known = resolve(Store.of(found, make=False), version)
    session = live(found, spark)
    frame = known.store.read(session, name, known.table(name))
    return _with_titles(frame, _titles(session, known)) if titles else frame


def similar_to(
    config: Given,
    items: "str | Sequence[str] | DataFrame",
    k: int | None = None,
    *,
    version: str = LATEST,
    spark: "SparkSession | None" = None,
) -> "DataFrame":
    """The neighbours of some items as the table has them, with titles.

    Args:
        config: whose store.
        items: an item_id, a list of them, or a DataFrame with the column item_id.
        k: neighbours an item, at most; None for all that the table has.
        version: LATEST, a run, or a version of the similar-item table.
        spark: the session; else the live one, else a new one.

    Returns:
        item_id string, title string, rank int from 1, similar_id string, similar_title string,
        score float (cosine). An item that has no neighbours has no row.

    Raises:
        UsageError: an id is no item's, or there is no such version. Of a DataFrame's ids those that
            are unknown have no row.
    """
    from pyspark.sql import functions as F

    found, _ = settled(config)
    known = resolve(Store.of(found, make=False), version)
    session = live(found, spark)
    pairs = known.store.read(session, "similar_items", known.table("similar_items"))
    if k is not None:
        pairs = pairs.where(F.col("rank") <= k)
    titles = _titles(session, known)
    if isinstance(items, (str, Sequence)):
        ids = ids_of(items)
        with work(session, "similar_to"):
            rows = titles.where(F.col("item_id").isin(ids)).select("item_id").collect()
        there = {row["item_id"] for row in rows}
        if unknown := [item for item in ids if item not in there]:
            named = ", ".join(unknown[:_UNKNOWN_NAMED])
            raise UsageError(f"items: {named}: not in the catalogue of {known.label}")
        wanted = pairs.where(F.col("item_id").isin(ids))
    else:
        need(items, "items", "item_id")
        ids_frame = items.select(F.col("item_id").cast("string").alias("item_id"))
        wanted = pairs.join(ids_frame, "item_id", how="left_semi")
    columns = ("item_id", "title", "rank", "similar_id", "similar_title", "score")
    return _with_titles(wanted, titles).select(*columns).orderBy("item_id", "rank")


def diff(
    config: Given,
    before: str,
    after: str = LATEST,
    k: int | None = None,
    *,
    spark: "SparkSession | None" = None,
) -> "DataFrame":
    """The items whose lists differ between two versions of the similar-item table.

    Args:
        config: whose store, and neighbors.k.
        before: a run, a version, or LATEST.
        after: the one to compare it with.
        k: compare the first k neighbours; None for neighbors.k.
        spark: the session; else the live one, else a new one.

    Returns:
        item_id string; title string; change string: changed, added or gone; overlap double, the
        share of the longer list that both have, and score_shift double, the later list's mean score
        less the earlier one's, both null where there is one list only; before and after, each
        array<struct<rank:int,similar_id:string,score:float>>, null where it has none. In no order.

    Raises:
        UsageError: a name stands for no table.
    """
    from pyspark.sql import functions as F

    found, _ = settled(config)
    store = Store.of(found, make=False)
    one, two = (resolve(store, name, with_table=True) for name in (before, after))
    session = live(found, spark)
    early, late = (store.read(session, "similar_items", side.version) for side in (one, two))
    lists = comparison.join_by_item(early, late, k or found.neighbors.k)
    items = differences.list_changes(lists, "before", "after")
    frames = [_titles(session, side) for side in (two, one)]
    items = _titled(_titled(items, frames[0], "item_id", "new"), frames[1], "item_id", "old")
    change = (
        F.when(~F.col("was"), F.lit("added"))
        .when(~F.col("is"), F.lit("gone"))
        .when(F.col("changed"), F.lit("changed"))
    )
    return items.select(
        "item_id",
        F.coalesce("new", "old").alias("title"),
        change.alias("change"),
        "overlap",
        F.col("shift").alias("score_shift"),
        "before",
        "after",
    ).where("change is not null")


def _titles(session: "SparkSession", known: ResolvedVersion) -> "DataFrame":
    """The titles of a version's items: item_id, title."""
    return known.store.read(session, "items", known.table("items")).select("item_id", "title")


def _with_titles(frame: "DataFrame", titles: "DataFrame") -> "DataFrame":
    named = {"item_id": "title", "similar_id": "similar_title"}
    added = {n: title for n, title in named.items() if n in frame.columns}
    columns = [*frame.columns, *(title for title in added.values() if title not in frame.columns)]
    for name, title in added.items():
        if title not in frame.columns:
            frame = _titled(frame, titles, name, title)
    return frame.select(*columns)


def _titled(frame: "DataFrame", titles: "DataFrame", column: str, name: str) -> "DataFrame":
    """The frame with the titles of the items of one of its columns."""
    named = titles.selectExpr(f"item_id as {column}", f"title as {name}")
    return frame.join(named, column, how="left")
