"""Learning the catalogue's promotional phrases from a sample of its titles.

The rules by which a phrase is told are in pipeline.text.promotional_phrases.
"""

from collections.abc import Sequence

from pipeline.spark.sampling import collected_sample
from pipeline.stages.context import Job
from pipeline.stages.tokenize import stage as tokenize
from pipeline.text.clean import clean
from pipeline.text.promotional_phrases import Title, bracketed_segments, learn
from pipeline.text.tokenize import Tokenizer

# In so many titles even a phrase of two titles in a thousand stands a hundred times. Titles are cut
# so that the sample fits into the driver.
_SAMPLED_TITLES, _TITLE_CHARACTERS = 50_000, 500


def learn_phrases(job: Job) -> tuple[str, ...]:
    """Learn the phrases of the run's catalogue.

    Returns:
        phrases, tokens separated by spaces, as the model's statistics hold them.
    """
    from pyspark.sql import functions as F

    title = F.substring("title", 1, _TITLE_CHARACTERS).alias("title")
    titles = job.read("items", "ingest").select("item_id", title)
    total, seed = job.record("ingest").tables["items"], job.config.model.seed
    sample = collected_sample(titles, total, _SAMPLED_TITLES, seed, "phrases")
    non_empty = [title for title in sample["title"].to_pylist() if title]
    return phrases_of_titles(non_empty, Tokenizer(tokenize.settings(job)))


def phrases_of_titles(titles: Sequence[str], tokenizer: Tokenizer) -> tuple[str, ...]:
    """Learn the phrases of some titles; returned as by `learn_phrases`."""
    phrases = learn(
        [
            Title(
                tokenizer.tokens_of_clean(text),
                [tokenizer.tokens_of_clean(segment) for segment in bracketed_segments(text)],
            )
            for text in map(clean, titles)
        ]
    )
    return tuple(" ".join(phrase) for phrase in sorted(phrases))
