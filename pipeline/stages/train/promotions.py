"""The catalogue's promotional phrases, learned from a sample of its titles."""

from collections.abc import Sequence

from pipeline.spark.sampling import collected_sample
from pipeline.stages.context import Job
from pipeline.stages.tokenize import stage as tokenize
from pipeline.text.clean import clean
from pipeline.text.phrases import Title, bracketed_segments, learn
from pipeline.text.tokenize import Tokenizer

# Of so many titles, and of each so many characters: what a sample of two in a thousand is sure of.
_TITLES, _LENGTH = 50_000, 500


def learned(job: Job) -> tuple[str, ...]:
    """Phrases, tokens separated by spaces, as `CatalogueStatistics` of a model has them."""
    from pyspark.sql import functions as F

    items = job.read("items", "ingest")
    titles = items.select("item_id", F.substring("title", 1, _LENGTH).alias("title"))
    total, seed = job.record("ingest").tables["items"], job.config.model.seed
    sampled = collected_sample(titles, total, _TITLES, seed, "phrases")["title"].to_pylist()
    return of_titles([title for title in sampled if title], Tokenizer(tokenize.settings(job)))


def of_titles(titles: Sequence[str], tokenizer: Tokenizer) -> tuple[str, ...]:
    """The phrases of these titles."""
    found = learn(
        [
            Title(
                tokenizer.tokens_of_clean(text),
                [tokenizer.tokens_of_clean(segment) for segment in bracketed_segments(text)],
            )
            for text in map(clean, titles)
        ]
    )
    return tuple(" ".join(phrase) for phrase in sorted(found))
