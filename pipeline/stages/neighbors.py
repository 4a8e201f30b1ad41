"""neighbors: lists -> neighbors and short_lists, and their recall."""

from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from pipeline.job import Job, Made
from pipeline.retrieval import join, recall
from pipeline.retrieval.vectors import from_bytes
from pipeline.sampling import seeded_sample

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import DataFrame

NAME = "neighbors"
CODE = (
    "pipeline.retrieval.join",
    "pipeline.retrieval.recall",
    "pipeline.retrieval.search",
    "pipeline.retrieval.vectors",
    "pipeline.sampling",
    "pipeline.tables",
)

# Why an item has fewer neighbours than were asked for.
NO_TOKENS = "no_tokens"
NO_VECTOR = "no_vector"
FEW_ITEMS = "few_items"
FEW_IN_LISTS = "few_in_lists"


def inputs(job: Job) -> dict[str, Any]:
    """The lists and the settings that change neighbours or their recall."""
    section = job.config.neighbors
    return {
        "lists": job.record("index").fingerprint,
        "k": section.k,
        "recall_sample": section.recall_sample,
        "seed": section.seed,
    }


def execute(job: Job, version: str) -> Made:
    """Find the neighbours, list the items that are short of them, and measure recall."""
    from pyspark.sql import functions as F

    section = job.config.neighbors
    index = job.record("index").outputs
    lists = job.read("lists", "index")
    parallel = job.spark.sparkContext.defaultParallelism
    partitions = section.partitions or max(parallel, min(index["lists"], 8 * parallel))
    rows = job.store.write(search(lists, section.k, partitions), "neighbors", version)
    neighbors = job.store.read(job.spark, "neighbors", version)
    embeddings = job.read("embeddings", "embed")
    short = short_lists(embeddings, neighbors, section.k, index["vectors"])
    short_rows = job.store.write(short, "short_lists", version)
    pairs = neighbors.agg(F.coalesce(F.sum(F.size("neighbors")), F.lit(0))).first()
    reasons = job.store.read(job.spark, "short_lists", version).groupBy("reason").count().collect()
    assert pairs is not None  # noqa: S101 - an aggregate has one row
    job.line.note = "measuring recall"
    measured = measure(job, lists, neighbors)
    job.line.note = ""
    return Made(
        tables={"neighbors": rows, "short_lists": short_rows},
        counts={
            "items_with_neighbors": rows,
            "pairs": int(pairs[0]),
            "short_lists": short_rows,
            "short_list_reasons": {row["reason"]: row["count"] for row in sorted(reasons)},
        },
        outputs={"recall": asdict(measured), "pairs": int(pairs[0])},
    )


def search(lists: "DataFrame", k: int, partitions: int) -> "DataFrame":
    """The neighbors table of a lists table.

    A row travels once as an item and once for each list that it probes; a task takes whole lists
    and holds one at a time.
    """
    from pyspark.sql import functions as F

    items = lists.select("list", F.lit(join.ITEM).alias("role"), "item_id", "vector")
    queries = lists.select(
        F.explode("probes").alias("list"), F.lit(join.QUERY).alias("role"), "item_id", "vector"
    )
    found = (
        items.unionByName(queries)
        .repartition(partitions, "list")
        .sortWithinPartitions("list", "role")
        .mapInArrow(_join(k), join.RESULT_DDL)
    )
    return best(found, k)


def _join(k: int) -> "Any":  # noqa: ANN401 - a function of Arrow batches
    def run(batches: "Iterator[pa.RecordBatch]") -> "Iterator[pa.RecordBatch]":
        return join.join(batches, k)

    return run


def best(found: "DataFrame", k: int) -> "DataFrame":
    """The k best candidates of each query over all its lists, as the neighbors table."""
    from pyspark.sql import functions as F

    merged = found.groupBy("item_id").agg(F.flatten(F.collect_list("candidates")).alias("c"))
    ranked = F.slice(F.sort_array("c"), 1, k)
    as_neighbors = F.transform(
        ranked,
        lambda c: F.struct(c["similar_id"].alias("similar_id"), (-c["key"]).alias("score")),
    )
    return merged.select("item_id", as_neighbors.alias("neighbors")).where(F.size("neighbors") > 0)


def short_lists(
    embeddings: "DataFrame", neighbors: "DataFrame", k: int, vectors: int
) -> "DataFrame":
    """Every item with fewer than k neighbours, how many it has, and why."""
    from pyspark.sql import functions as F

    sizes = neighbors.select("item_id", F.size("neighbors").alias("size"))
    had = F.coalesce("size", F.lit(0))
    reason = (
        F.when(F.col("tokens") == 0, F.lit(NO_TOKENS))
        .when(F.col("without"), F.lit(NO_VECTOR))
        .when(had == F.lit(vectors - 1), F.lit(FEW_ITEMS))
        .otherwise(F.lit(FEW_IN_LISTS))
    )
    return (
        embeddings.select("item_id", "tokens", F.col("vector").isNull().alias("without"))
        .join(sizes, "item_id", how="left")
        .where(had < k)
        .select("item_id", had.alias("neighbors"), reason.alias("reason"))
    )


def measure(job: Job, lists: "DataFrame", neighbors: "DataFrame") -> recall.Recall:
    """Recall of the neighbors table against exact search, on a seeded sample of its items."""
    from pyspark.sql import functions as F

    section = job.config.neighbors
    total = job.record("index").outputs["vectors"]
    # A number of queries that does not grow with the catalogue.
    chosen = seeded_sample(
        lists.select("item_id", "vector"), total, section.recall_sample, section.seed
    ).toArrow()
    ids, vectors, k = chosen["item_id"].to_pylist(), from_bytes(chosen["vector"]), section.k

    def scan(batches: "Iterator[pa.RecordBatch]") -> "Iterator[pa.RecordBatch]":
        return recall.exact_search(batches, ids, vectors, k)

    exact = best(lists.select("item_id", "vector").mapInArrow(scan, join.RESULT_DDL), k)
    mine = neighbors.where(F.col("item_id").isin(ids))
    scores = [
        {
            row["item_id"]: row["scores"]
            for row in frame.selectExpr("item_id", "neighbors.score as scores").collect()
        }
        for frame in (mine, exact)
    ]
    return recall.measure(
        [scores[0].get(item, []) for item in ids], [scores[1].get(item, []) for item in ids], k
    )
