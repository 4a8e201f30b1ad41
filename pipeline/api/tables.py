"""Tables of the store as DataFrames."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pipeline.api.inputs import ConfigSource, read_config, require_columns, unique_ids
from pipeline.api.session import find_session, working_on
from pipeline.errors import UsageError
from pipeline.inspection.diff import list_changes
from pipeline.stages.publish import comparison
from pipeline.store.names import LATEST
from pipeline.store.resolve import ResolvedVersion, resolve
from pipeline.store.store import Store

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

# An error names so many unknown ids at most.
_MAX_NAMED = 5


def table(
    config: ConfigSource = "nitamono.toml",
    name: str = "similar_items",
    version: str = LATEST,
    *,
    titles: bool = False,
    spark: "SparkSession | None" = None,
) -> "DataFrame":
    """A table of the store.

    Args:
        config: names the store.
        name: similar_items, short_lists, items, quarantine, tokens, embeddings, ...
        version: LATEST, a run, or a version of the similar-item table; the table belongs to it.
        titles: add the title of item_id, and of similar_id as similar_title.
        spark: the session; else the running one, else a new one.

    Returns:
        its columns, as docs/store.md lists them: similar_items has item_id string, rank int from 1,
        similar_id string, score float, a cosine from -1 to 1.

    Raises:
        UsageError: there is no such table or version.
    """
    resolved_config, _ = read_config(config)
    resolved = resolve(Store.of(resolved_config, make=False), version)
    session = find_session(resolved_config, spark)
    frame = resolved.store.read(session, name, resolved.table(name))
    return _add_titles(frame, _titles(session, resolved)) if titles else frame


def similar_to(
    config: ConfigSource,
    items: "str | Sequence[str] | DataFrame",
    k: int | None = None,
    *,
    version: str = LATEST,
    spark: "SparkSession | None" = None,
) -> "DataFrame":
    """The neighbours of some items as the table has them, with titles.

    Args:
        config: names the store.
        items: an item_id, a list of them, or a DataFrame with the column item_id.
        k: neighbours an item, at most; None for all that the table has.
        version: LATEST, a run, or a version of the similar-item table.
        spark: the session; else the running one, else a new one.

    Returns:
        item_id string, title string, rank int from 1, similar_id string, similar_title string,
        score float (cosine; null for what fills the list, see [fallback]). An item that has no
        neighbours has no row.

    Raises:
        UsageError: an id is no item's, or there is no such version. Unknown ids in a DataFrame
            are no error; they have no row.
    """
    from pyspark.sql import functions as F

    resolved_config, _ = read_config(config)
    resolved = resolve(Store.of(resolved_config, make=False), version)
    session = find_session(resolved_config, spark)
    pairs = resolved.store.read(session, "similar_items", resolved.table("similar_items"))
    if k is not None:
        pairs = pairs.where(F.col("rank") <= k)
    titles = _titles(session, resolved)
    if isinstance(items, (str, Sequence)):
        ids = unique_ids(items)
        with working_on(session, "similar_to"):
            rows = titles.where(F.col("item_id").isin(ids)).select("item_id").collect()
        catalogue_ids = {row["item_id"] for row in rows}
        if unknown := [item for item in ids if item not in catalogue_ids]:
            names = ", ".join(unknown[:_MAX_NAMED])
            raise UsageError(f"items: {names}: not in the catalogue of {resolved.label}")
        matches = pairs.where(F.col("item_id").isin(ids))
    else:
        require_columns(items, "items", "item_id")
        ids_frame = items.select(F.col("item_id").cast("string").alias("item_id"))
        matches = pairs.join(ids_frame, "item_id", how="left_semi")
    columns = ("item_id", "title", "rank", "similar_id", "similar_title", "score")
    return _add_titles(matches, titles).select(*columns).orderBy("item_id", "rank")


def diff(
    config: ConfigSource,
    before: str,
    after: str = LATEST,
    k: int | None = None,
    *,
    spark: "SparkSession | None" = None,
) -> "DataFrame":
    """The items whose lists differ between two versions of the similar-item table.

    Args:
        config: names the store, and gives neighbors.k.
        before: a run, a version, or LATEST: the earlier one.
        after: a run, a version, or LATEST: the later one.
        k: compare the first k neighbours; None for neighbors.k.
        spark: the session; else the running one, else a new one.

    Returns:
        item_id string; title string; change string: changed, added or gone; overlap double, the
        share of the longer list that both have, and score_shift double, the later list's mean score
        less the earlier one's, both null if there is only one list; before and after, each
        array<struct<rank:int,similar_id:string,score:float>>, null where it has none. In no order.

    Raises:
        UsageError: a name stands for no table.
    """
    from pyspark.sql import functions as F

    resolved_config, _ = read_config(config)
    store = Store.of(resolved_config, make=False)
    versions = [resolve(store, name, with_table=True) for name in (before, after)]
    session = find_session(resolved_config, spark)
    earlier, later = (store.read(session, "similar_items", version.version) for version in versions)
    lists = comparison.join_by_item(earlier, later, k or resolved_config.neighbors.k)
    items = list_changes(lists, "before", "after")
    for name, version in zip(("old", "new"), versions, strict=True):
        items = _add_title(items, _titles(session, version), "item_id", name)
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


def _titles(session: "SparkSession", version: ResolvedVersion) -> "DataFrame":
    """The titles of a version's items: item_id, title."""
    items = version.store.read(session, "items", version.table("items"))
    return items.select("item_id", "title")


def _add_titles(frame: "DataFrame", titles: "DataFrame") -> "DataFrame":
    """Add the titles of item_id and similar_id, as far as the frame has these and lacks those."""
    names = {"item_id": "title", "similar_id": "similar_title"}
    new = {
        column: name
        for column, name in names.items()
        if column in frame.columns and name not in frame.columns
    }
    columns = [*frame.columns, *new.values()]
    for column, name in new.items():
        frame = _add_title(frame, titles, column, name)
    return frame.select(*columns)


def _add_title(frame: "DataFrame", titles: "DataFrame", column: str, name: str) -> "DataFrame":
    """Add the titles of the items in a column, under a name."""
    renamed = titles.selectExpr(f"item_id as {column}", f"title as {name}")
    return frame.join(renamed, column, how="left")
