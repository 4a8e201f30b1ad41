"""Vectors of any texts, and the neighbours of any vectors, from a notebook."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from models import embedder
from models.resident import LoadCounter
from pipeline.api import vector_search
from pipeline.api.inputs import (
    ConfigSource,
    Settings,
    own_python_worker,
    read_config,
    require_columns,
)
from pipeline.api.session import working_on
from pipeline.config.sections import Config, EmbedSection, TextSection
from pipeline.errors import UsageError
from pipeline.stages.context import Job
from pipeline.stages.embed import stage
from pipeline.stages.embed.batches import embed_batch, lists_of
from pipeline.stages.embed.model_texts import reads_text
from pipeline.stages.tokenize import stage as tokenize
from pipeline.stages.tokenize import token_columns
from pipeline.store.arrow_files import Run
from pipeline.store.names import LATEST
from pipeline.store.resolve import ResolvedVersion, resolve
from pipeline.store.stage_record import StageRecord
from pipeline.store.store import Store

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

_SCHEMA = "item_id string, vector array<float>"
# The config of `neighbors` if the user gives none; nothing is read from its store or catalogue.
_DEFAULT_CONFIG = {"store": {"path": "store"}, "catalogue": {"path": "catalogue"}}


def embed(
    items: "DataFrame", config: ConfigSource = "nitamono.toml", *, version: str = LATEST
) -> "DataFrame":
    """Vectors of any items or texts, by the model and the rules of a run.

    They can be compared with that run's own vectors: the same text has the same vector to the bit.

    Args:
        items: item_id and title, string, and description, if there is one; and the columns of
            embed.field.
        config: names the store.
        version: LATEST, a run, or a version of the similar-item table; its model, [text] and
            [embed] are used.

    Returns:
        item_id string, vector array<float>, null where no token has a vector: one row an item.
        They are computed when the frame is used, in one Python worker a task, which loads the model
        once.

    Raises:
        UsageError: a column is missing, or there is no such version.
        InputError: the model can't be used.
        StageError: the model was made by other rules of text than this installation's.
    """
    from pyspark.sql import functions as F

    require_columns(items, "items", "item_id", "title")
    spark = items.sparkSession
    resolved_config, _ = read_config(config)
    with working_on(spark, "embed"):
        resolved = resolve(Store.of(resolved_config, make=False), version)
        job = _embedding_job(resolved_config, resolved, spark)
        text, blend = tokenize.settings(job), stage.blend_settings(job)
        dictionaries = [job.ship(path, "dictionary") for path in text.user_dictionaries]
        handle, counter = stage.ship_model(job), LoadCounter(spark.sparkContext)
    names = ("item_id", "title", "description", *(field.column for field in text.fields))
    texts = own_python_worker(
        items.select(
            *(
                (F.col(name) if name in items.columns else F.lit(None)).cast("string").alias(name)
                for name in names
            )
        )
    )
    tokenise = tokenize.tokenize(texts, text, dictionaries).run
    is_blend, text_model = blend is not None, reads_text(job)

    def run(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            model_input = _model_input(batch, tokenise, text_model=text_model, blend=is_blend)
            rows = pa.RecordBatch.from_arrays([batch["item_id"], model_input], ["item_id", "texts"])
            if rows.num_rows:
                model = embedder.load_shipped(handle, counter, blend)
                yield embed_batch(model, rows).select(["item_id", "vector"])

    return texts.mapInArrow(run, _SCHEMA)


def _embedding_job(config: Config, version: ResolvedVersion, spark: "SparkSession") -> Job:
    """A job that embeds as the run of a version did.

    Raises:
        StageError: the model was made by other rules of text than this installation's.
    """
    if version.run is not None:
        settings = version.run.settings
        sections = {
            "text": TextSection(**settings.get("text", {})),
            "embed": EmbedSection(**settings.get("embed", {})),
        }
        config = config.model_copy(update=sections)
    job = Job(config, version.store, "embed", publishing=False, spark=spark)
    job.set_record(version.record("train"))
    outputs = {"text_fingerprint": tokenize.text_fingerprint(job)}
    job.set_record(StageRecord("tokenize", "", "", {}, {}, outputs=outputs))
    # This compares the text fingerprint with the model's.
    stage.inputs(job)
    return job


def _model_input(
    batch: pa.RecordBatch, tokenise: Run, *, text_model: bool, blend: bool
) -> pa.Array:
    """The texts that the model reads, as the stage embed forms them.

    Args:
        batch: titles, descriptions and fields.
        tokenise: makes rows of the tokens table of them.
        text_model: whether the model reads texts; else it reads tokens.
        blend: whether it is used in a blend, which reads the tokens column by column.
    """
    texts = batch["title"], batch["description"]
    if text_model and not blend:
        return lists_of(*texts)
    tokens = next(iter(tokenise(iter([batch]))))
    columns = [tokens[name] for name in token_columns.names(tokens.schema.names)]
    if blend:
        return lists_of(*columns, *(texts if text_model else ()))
    return pc.utf8_trim(pc.binary_join_element_wise(*columns, " "), characters=" ")


def neighbors(
    vectors: "DataFrame",
    k: int = 10,
    queries: "DataFrame | None" = None,
    *,
    exact: bool | None = None,
    config: ConfigSource | None = None,
    settings: Settings | None = None,
) -> "DataFrame":
    """The k nearest of any vectors, by the search of the stages index and neighbors.

    Values are rounded to float16, as those of the embeddings table are. Before that each vector is
    scaled by a power of two, which changes no cosine, to the range that float16 represents well.
    For the rounded values the result is the exact top k by cosine of the lists probed, ties by
    item_id. Nothing stays in the store; the result lies in a folder of its own until this process
    ends.

    Args:
        vectors: item_id string, unique; vector array<float> of one length. A null or zero vector
            has no neighbours and is nobody's neighbour.
        k: neighbours of each, at most.
        queries: vectors to find neighbours for, in the same form; None for the vectors themselves.
            An item with a query's own item_id is not among its neighbours.
        exact: whether each is compared with each; None: below index.exact_below vectors.
        config: gives [index], [neighbors] and [s3], and a store that all hosts see to work in; None
            for the defaults and a temporary folder of this host, which a cluster does not see.
        settings: changes to the config: {"neighbors.target_recall": 0.99}.

    Returns:
        item_id string (of the queries), rank int from 1, similar_id string, score float: the cosine
        in float64, rounded to float32.

    Raises:
        UsageError: a column is missing, or vectors are not as above.
        StageError: Spark fails.

    Warns:
        UserWarning: a sample's recall against exact search is below neighbors.target_recall.
    """
    for name, frame in (("vectors", vectors), ("queries", queries)):
        if frame is not None:
            require_columns(frame, name, "item_id", "vector")
            kind = dict(frame.dtypes)["vector"]
            if kind not in ("array<float>", "array<double>"):
                raise UsageError(f"{name}: column vector is {kind}, not array<float>")
    resolved_config, _ = read_config(_DEFAULT_CONFIG if config is None else config, settings)
    with working_on(vectors.sparkSession, "neighbors"):
        search_config = vector_search.search_config(resolved_config, k, exact=exact)
        query_vectors = None if queries is None else _cast(queries)
        with vector_search.temporary_store(search_config, in_store=config is not None) as store:
            return vector_search.search(search_config, store, _cast(vectors), query_vectors)


def _cast(vectors: "DataFrame") -> "DataFrame":
    """The columns item_id string and vector array<float>."""
    from pyspark.sql import functions as F

    columns = {"item_id": "string", "vector": "array<float>"}
    casts = (F.col(name).cast(kind) for name, kind in columns.items())
    return own_python_worker(vectors.select(*casts))
