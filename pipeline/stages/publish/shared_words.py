"""The similar-item table of publish.reasons: with the words that carry most of each pair's score.

The words of an item travel in one small cell: to the pairs in which it is the neighbour, and with
those to the file that has the pair. Rows go there as those of sorted_tables do.
"""

from collections.abc import Iterator, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from models import embedder
from models.resident import LoadCounter
from pipeline.errors import StageError
from pipeline.retrieval import item_order
from pipeline.retrieval.item_order import ItemRanges
from pipeline.retrieval.shared_words import ShownTitles, best_words, pack_words
from pipeline.stages.context import Job
from pipeline.stages.embed import stage as embed
from pipeline.stages.embed.batches import tokens_read
from pipeline.stages.publish import list_sources, pair_sums, sorted_tables
from pipeline.stages.publish.list_sources import SOURCE, SentPairs
from pipeline.stages.tokenize import stage as tokenize
from pipeline.stages.tokenize import token_columns
from pipeline.storage.list_schemas import TITLE_WORDS
from pipeline.store.arrow_files import Rows, Run
from pipeline.store.schemas import SHARED_WORDS
from pipeline.text.shown_words import shown_title, shown_words
from pipeline.text.tokenize import Tokenizer

TABLE = "title_words"
# A pair with the words of its neighbour is so many times as large as without.
WEIGHT = 4
# Pairs whose words are compared at a time.
_BLOCK_ROWS = 20_000


def write_title_words(job: Job, version: str, ranges: ItemRanges) -> int:
    """Write the table of the words of every item's title, in the order of item_id.

    Returns:
        the number of rows.
    """
    handle, blend = embed.ship_model(job), embed.blend_settings(job)
    counter = LoadCounter(job.spark.sparkContext)
    fields = tokenize.settings(job).fields
    token_names = (*token_columns.TEXTS, *(field.token_column for field in fields))
    tokens = job.scan("tokens", "tokenize", ("item_id", *token_names))

    def find(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            yield words_of_items(embedder.load_shipped(handle, counter, blend), batch)

    def send(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        return item_order.send(find(batches), ranges)

    def receive(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for rows in item_order.receive(batches, TITLE_WORDS):
            yield from sorted_tables.row_groups(rows)

    rows = sorted_tables.shuffled([tokens.map(send)], ranges, receive)
    return job.store.write_arrow(TABLE, version, rows)


def words_of_items(model: embedder.Embedder, tokens: pa.RecordBatch) -> pa.RecordBatch:
    """The words of items, with what each adds to the item's vector.

    Args:
        model: the model.
        tokens: rows of the tokens table.

    Returns:
        rows of the table of the words.

    Raises:
        StageError: the model's vectors are no sums over words.
    """
    fields = tokens_read(model, *map(tokens.column, token_columns.names(tokens.schema.names)))
    find = getattr(model, "title_words", None)
    words = None if find is None else find(*fields)
    if words is None:
        raise StageError(
            "publish: the vectors of this model are no sums over words, so no word carries a part "
            "of the score; set publish.reasons = false"
        )
    return pa.RecordBatch.from_arrays([tokens["item_id"], *pack_words(words)], schema=TITLE_WORDS)


def similar_items(
    job: Job,
    version: str,
    sources: Sequence[Rows],
    ranges: ItemRanges,
    sent: SentPairs,
    schema: pa.Schema,
) -> Rows:
    """The similar-item table with the words, one row a pair, in the order of item_id and rank.

    Args:
        job: the run.
        version: of the table of the words.
        sources: rows of lists_schema. An item that is in several of them has the list of the first.
        ranges: which ids each file has.
        sent: counts the pairs before they are shuffled.
        schema: of the table, whose last column is that of the words.
    """
    words = job.store.scan(job.spark, TABLE, version, TITLE_WORDS.names)
    text = tokenize.settings(job)
    dictionaries = tokenize.ship_dictionaries(job, text)
    titles = job.scan("items", "ingest", ("item_id", "title"))
    pair_schema = schema.remove(schema.get_field_index(SHARED_WORDS.name))
    values = [field for field in pair_schema if field.name not in ("item_id", "similar_id")]
    # Rows with a rank are pairs, sent to where their neighbour's words are, and then to their file.
    # The others are what is known of one item: its words, or its title.
    by_neighbor = pa.schema(
        [
            *(("item_id", pa.string()), ("owner", pa.string()), SOURCE, *values),
            TITLE_WORDS.field("words"),
        ]
    )
    parts = pa.schema(
        [
            *(*pair_schema, SOURCE, ("their_words", pa.binary())),
            *(*TITLE_WORDS.remove(0), ("title", pa.string())),
        ]
    )

    def read_pairs(source: int, *, found: bool) -> Run:
        """The pairs of a source that were found; or the others, which are shown for a reason."""

        def run(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
            for lists in batches:
                for pairs in pair_sums.pairs_of_lists(lists, pair_schema):
                    rows = _found(pairs) if found else _with_reason(pairs)
                    sent.add(rows)
                    yield list_sources.with_source(rows, source)

        return run

    def send_pairs(source: int) -> Run:
        read = read_pairs(source, found=True)
        return lambda batches: (
            _fill(by_neighbor, rows, item_id="similar_id", owner="item_id")
            for rows in read(batches)
        )

    def send_others(source: int) -> Run:
        read = read_pairs(source, found=False)
        return lambda batches: (_fill(parts, rows) for rows in read(batches))

    def join_words(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for pairs in _their_words(item_order.receive(batches, by_neighbor)):
            yield _fill(parts, pairs, item_id="owner", similar_id="item_id", their_words="words")

    def send_titles(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            shown = pa.array(map(shown_title, batch["title"].to_pylist()), pa.string())
            yield _fill(parts, batch.set_column(1, "title", shown), "item_id", "title")

    def receive(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        tokenizer = tokenize.load_tokenizer(text, dictionaries)
        for rows in item_order.receive(batches, parts):
            pairs = list_sources.of_first_source(_sorted_pairs(rows), sent, pair_schema)
            yield from _choose_words(pairs, rows, schema, tokenizer)

    def sender(run: Run) -> Run:
        return lambda batches: item_order.send(run(batches), ranges)

    def send_words(target: pa.Schema, *names: str) -> Run:
        return sender(
            lambda batches: (_fill(target, batch, "item_id", *names) for batch in batches)
        )

    first = [source.map(sender(send_pairs(n))) for n, source in enumerate(sources)]
    first.append(words.map(send_words(by_neighbor, "words")))
    pairs = sorted_tables.shuffled(first, ranges, join_words).map(sender(iter))
    second = [
        pairs,
        words.map(send_words(parts, "words", "tokens")),
        titles.map(sender(send_titles)),
    ]
    if pair_sums.REASON in pair_schema.names:
        # They have no words: very many may have one neighbour, whose words would go to one task.
        second += [source.map(sender(send_others(n))) for n, source in enumerate(sources)]
    return sorted_tables.shuffled(second, ranges, receive)


def _found(pairs: pa.RecordBatch) -> pa.RecordBatch:
    if pair_sums.REASON not in pairs.schema.names:
        return pairs
    return pairs.filter(pairs[pair_sums.REASON].is_null())


def _with_reason(pairs: pa.RecordBatch) -> pa.RecordBatch:
    return pairs.filter(pairs[pair_sums.REASON].is_valid())


def _fill(target: pa.Schema, rows: pa.RecordBatch, *names: str, **renamed: str) -> pa.RecordBatch:
    """Rows with the columns of another schema; what they do not have is null.

    Args:
        target: the schema.
        rows: the rows.
        names: the columns that are taken, by name; none for all but those that are renamed.
        renamed: the old name of columns that get a new one.
    """
    kept = names or [name for name in rows.schema.names if name not in renamed.values()]
    source = {name: name for name in kept} | renamed
    columns = [
        rows[source[field.name]] if field.name in source else pa.nulls(rows.num_rows, field.type)
        for field in target
    ]
    return pa.RecordBatch.from_arrays(columns, schema=target)


def _their_words(parts: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """The pairs of each range of neighbours, with the neighbour's words, some at a time."""
    for rows in parts:
        is_pair = rows["rank"].is_valid()
        pairs, items = rows.filter(is_pair), rows.filter(pc.invert(is_pair))
        words_at = pairs.schema.get_field_index("words")
        for start in range(0, pairs.num_rows, _BLOCK_ROWS):
            block = pairs.slice(start, _BLOCK_ROWS)
            words = items["words"].take(pc.index_in(block["item_id"], items["item_id"]))
            yield block.set_column(words_at, "words", words)


def _sorted_pairs(parts: pa.RecordBatch) -> pa.RecordBatch:
    pairs = parts.filter(parts["rank"].is_valid())
    return pairs.take(pc.sort_indices(pairs, [("item_id", "ascending"), ("rank", "ascending")]))


def _choose_words(
    pairs: pa.RecordBatch, parts: pa.RecordBatch, schema: pa.Schema, tokenizer: Tokenizer
) -> Iterator[pa.RecordBatch]:
    """The rows of one file of the table, in its order, with the words.

    Args:
        pairs: its pairs, in its order.
        parts: the words and titles of its items, among other rows.
        schema: of the table.
        tokenizer: of the tokens.
    """
    items, titles = (parts.filter(parts[name].is_valid()) for name in ("words", "title"))
    for start in range(0, pairs.num_rows, _BLOCK_ROWS):
        block = pairs.slice(start, _BLOCK_ROWS)
        ids = pc.unique(block["item_id"])
        own = items.take(pc.index_in(ids, items["item_id"]))
        title = titles["title"].take(pc.index_in(ids, titles["item_id"]))
        shown = [shown_words(tokenizer, text or "") for text in title.to_pylist()]
        words = best_words(
            ShownTitles.of(own["words"], own["tokens"], shown),
            pc.index_in(block["item_id"], ids).to_numpy(),
            block["their_words"],
        )
        columns = [*(block[name] for name in schema.names[:-1]), words.cast(SHARED_WORDS.type)]
        yield pa.RecordBatch.from_arrays(columns, schema=schema)
