"""Vectors of any texts, and the neighbours of any vectors."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from models import embedder
from models.resident import LoadCounter
from pipeline.api import search
from pipeline.api.arguments import Given, Settings, apart, need, settled, work
from pipeline.config.sections import Config, EmbedSection, TextSection
from pipeline.errors import UsageError
from pipeline.stages.context import Job
from pipeline.stages.embed import stage
from pipeline.stages.embed.batches import embed_batch
from pipeline.stages.tokenize import stage as tokenize
from pipeline.store.resolve import LATEST, ResolvedVersion, resolve
from pipeline.store.stage_record import StageRecord
from pipeline.store.store import Store

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

_SCHEMA = "item_id string, vector array<float>"
# Where no config is given nothing is read from a store or a catalogue.
_NO_STORE = {"store": {"path": "store"}, "catalogue": {"path": "catalogue"}}


def embed(
    items: "DataFrame", config: Given = "nitamono.toml", *, version: str = LATEST
) -> "DataFrame":
    """Vectors of any items or texts, by the model and the rules of a run.

    They can be compared with that run's own: of the same text they are the same to the bit.

    Args:
        items: item_id and title, string, and description, if there is one.
        config: whose store.
        version: LATEST, or a run, or a version of the similar-item table: whose model and whose
            [text] and [embed].

    Returns:
        item_id string, vector array<float>, null where no token has a vector: one row an item,
        made when the frame is used, in one Python worker a task, which loads the model once.

    Raises:
        UsageError: a column is missing, or there is no such version.
        InputError: the model can't be used.
        StageError: the model was made by other rules of text than this installation's.
    """
    from pyspark.sql import functions as F

    need(items, "items", "item_id", "title")
    spark = items.sparkSession
    found, _ = settled(config)
    with work(spark, "embed"):
        known = resolve(Store.of(found, make=False), version)
        job = _job(found, known, items)
        text, way = tokenize.settings(job), stage.blend_settings(job)
        dictionaries = [job.ship(path, "dictionary") for path in text.user_dictionaries]
        handle, counter = stage.ship_model(job), LoadCounter(spark.sparkContext)
    description = F.col("description") if "description" in items.columns else F.lit(None)
    named = apart(
        items.select(
            F.col("item_id").cast("string").alias("item_id"),
            F.col("title").cast("string").alias("title"),
            description.cast("string").alias("description"),
        )
    )
    tokenise = tokenize.tokenize(named, text, dictionaries).run
    fields, encoder = way is not None, handle.kind == "onnx"

    def run(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches if encoder else tokenise(batches):
            texts = _texts(batch, encoder=encoder, fields=fields)
            rows = pa.RecordBatch.from_arrays([batch["item_id"], texts], ["item_id", "texts"])
            if rows.num_rows:
                made = embed_batch(embedder.load_shipped(handle, counter, way), rows)
                yield made.select(["item_id", "vector"])

    return named.mapInArrow(run, _SCHEMA)


def _job(settings: Config, known: ResolvedVersion, items: "DataFrame") -> Job:
    """A job that embeds as a run did."""
    if known.run is not None:
        theirs = known.run.settings
        sections = {
            "text": TextSection(**theirs.get("text", {})),
            "embed": EmbedSection(**theirs.get("embed", {})),
        }
        settings = settings.model_copy(update=sections)
    job = Job(settings, known.store, "embed", publishing=False, spark=items.sparkSession)
    job.set_record(known.record("train"))
    made_of = {"text_fingerprint": tokenize.text_fingerprint(job)}
    job.set_record(StageRecord("tokenize", "", "", {}, {}, outputs=made_of))
    stage.inputs(job)  # the rules of the text are those of the model
    return job


def _texts(batch: pa.RecordBatch, *, encoder: bool, fields: bool) -> pa.Array:
    """What the model reads of a batch, as the stage embed has it."""
    names = ("title", "description") if encoder else ("title_tokens", "description_tokens")
    titles, descriptions = (batch[name] for name in names)
    if not encoder and not fields:
        joined = pc.binary_join_element_wise(titles, descriptions, " ")
        return pc.utf8_trim(joined, characters=" ")
    total = batch.num_rows
    both = pa.concat_arrays([titles, descriptions])
    order = np.arange(2 * total).reshape(2, total).T.ravel()
    offsets = pa.array(np.arange(0, 2 * total + 1, 2, dtype=np.int32))
    return pa.ListArray.from_arrays(offsets, both.take(pa.array(order)))


def neighbors(
    vectors: "DataFrame",
    k: int = 10,
    queries: "DataFrame | None" = None,
    *,
    exact: bool | None = None,
    config: Given | None = None,
    settings: Settings | None = None,
) -> "DataFrame":
    """The k nearest of any vectors, by the search of the stages index and neighbors.

    Values are rounded to float16, as those of the embeddings table are, after each vector was
    brought to a size that this suits (by a power of two, which changes no cosine). For these values
    the result is the exact top k by cosine of the lists probed, ties by item_id. Nothing is kept in
    the store; the result lies in a folder of its own until this process ends.

    Args:
        vectors: item_id string, unique; vector array<float> of one length. A null or zero vector
            has no neighbours and is nobody's.
        k: neighbours of each, at most.
        queries: the same of what neighbours are wanted for; None: of the vectors themselves. What
            has a query's own item_id is not among its neighbours.
        exact: whether each is compared with each; None: below index.exact_below vectors.
        config: gives [index], [neighbors] and [s3], and a store that all hosts see to work in; None
            for the defaults and a temporary folder of this host, which a cluster does not see.
        settings: changes to it: {"neighbors.target_recall": 0.99}.

    Returns:
        item_id string (of the queries), rank int from 1, similar_id string, score float: the cosine
        in float64, rounded to float32.

    Raises:
        UsageError: a column is missing, or vectors are not as above.
        StageError: Spark fails.

    Warns:
        UserWarning: a sample's recall against exact search is below neighbors.target_recall.
    """
    for what, frame in (("vectors", vectors), ("queries", queries)):
        if frame is not None:
            need(frame, what, "item_id", "vector")
            kind = dict(frame.dtypes)["vector"]
            if kind not in ("array<float>", "array<double>"):
                raise UsageError(f"{what}: column vector is {kind}, not array<float>")
    base = _NO_STORE if config is None else config
    found, _ = settled(base, settings)
    with work(vectors.sparkSession, "neighbors"):
        chosen = search.settings(found, k, exact=exact)
        asked = None if queries is None else _plain(queries)
        with search.workshop(chosen, in_store=config is not None) as store:
            return search.neighbors(chosen, store, _plain(vectors), asked)


def _plain(vectors: "DataFrame") -> "DataFrame":
    from pyspark.sql import functions as F

    columns = {"item_id": "string", "vector": "array<float>"}
    return apart(vectors.select(*(F.col(name).cast(kind) for name, kind in columns.items())))
