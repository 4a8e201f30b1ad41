"""The catalogue's statistics, counted by Spark, against counts of all of it at once."""

import random
from pathlib import Path

import numpy as np
from pyspark.sql import SparkSession

from models import fasttext
from models.fasttext import Blend, BlendEmbedder
from models.fasttext.catalogue_statistics import DocumentCounter
from models.fasttext.embedder import Embedder
from models.fasttext.token_batch import TokenBatch
from pipeline.stages.train import statistics
from tests.models.fasttext.files import Bin


def test_counts_and_direction_are_those_of_all_documents_whatever_the_partitions(
    spark: SparkSession, tmp_path: Path
) -> None:
    rng = random.Random(4)  # noqa: S311
    names = ["りんご", "箱", "apple", *(f"語{number}" for number in range(50))]
    documents = [rng.choices(names, k=rng.randint(1, 9)) for _ in range(300)]
    counts = DocumentCounter()
    counts.add(TokenBatch.from_arrow(*Embedder.flatten(documents)))
    rows = [(f"{place:03}", tokens) for place, tokens in enumerate(documents)]
    frame = spark.createDataFrame(rows, "item_id string, tokens array<string>")
    model = fasttext.load(fasttext.pack(Bin().write(tmp_path / "model.bin"), tmp_path))
    assert isinstance(model, Embedder)
    samples = [statistics.read_documents(frame.repartition(n), 300, 0) for n in (1, 7)]
    results = [statistics.compute(sample, model) for sample in samples]
    expected = counts.finish(results[0].common_direction)
    for result in results:
        assert result.documents == 300
        assert np.array_equal(result.word_documents, expected.word_documents)
        assert np.array_equal(result.ngram_documents, expected.ngram_documents)
        assert np.array_equal(result.common_direction, results[0].common_direction)
    model.statistics = counts.finish(np.zeros(model.dim, dtype=np.float32))
    vectors = (
        BlendEmbedder(model, Blend(dim=0, rare_weight=1.0)).embed(documents).astype(np.float64)
    )
    first = np.linalg.svd(vectors)[2][0]
    assert abs(first @ results[0].common_direction) > 1 - 1e-6
