"""Models of the catalogues that quality.py measures, made as a run makes them, without Spark."""

from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa

from benchmarks.sets import Catalogue
from models import fasttext
from models.fasttext import starting_vectors
from models.fasttext.catalogue_statistics import DocumentCounter, principal_direction
from models.fasttext.token_batch import TokenBatch
from models.fasttext.train import train
from models.static import distil
from pipeline.config.sections import ModelSection
from pipeline.stages.train import corpus
from pipeline.stages.train.statistics import DIRECTION

# Documents that are counted at a time, and of which the common direction is found.
_BATCH = 10_000
# Values of a distilled row.
_DISTILLED_DIM = 64


def train_model(catalogue: Catalogue, folder: Path, section: ModelSection) -> fasttext.Embedder:
    """Train and pack a model of a catalogue, with its statistics, as the stage train does."""
    documents = catalogue.documents
    counts = Counter(token for document in documents for token in document)
    sizes = [
        sum(count >= min_count for count in counts.values())
        for min_count in range(1, section.min_count + 1)
    ]
    folder.mkdir()
    lines = "".join(" ".join(document) + "\n" for document in documents)
    (folder / "corpus.txt").write_text(lines, encoding="utf-8")
    plan = corpus.plan(section, counts.total(), sizes)
    vectors = folder / "start.vec" if section.pretrained else None
    if vectors:
        starting_vectors.write(Path(section.pretrained), folder / "corpus.txt", plan.dim, vectors)
    train(folder / "corpus.txt", folder / "model.bin", plan, vectors=vectors)
    model = _load(fasttext.pack(folder / "model.bin", folder / "packed"))
    counter = DocumentCounter()
    for start in range(0, len(documents), _BATCH):
        counter.add(TokenBatch.from_arrow(*model.flatten(documents[start : start + _BATCH])))
    model.statistics = counter.finish(np.zeros(model.dim, dtype=np.float32))
    weighted = fasttext.BlendEmbedder(model, DIRECTION).embed(documents[:_BATCH])
    model.statistics = counter.finish(principal_direction(weighted))
    return model


def _load(packed: Path) -> fasttext.Embedder:
    model = fasttext.load(packed)
    assert isinstance(model, fasttext.Embedder)  # noqa: S101 - it was packed here
    return model


def with_distilled(
    model: fasttext.Embedder, catalogue: Catalogue, encoded: Path, folder: Path
) -> fasttext.Embedder:
    """Distil an encoder's vectors into a model of words, and put it beside that of the catalogue.

    Args:
        model: of the catalogue, with its statistics.
        catalogue: of the items.
        encoded: float32[items, k], as NumPy saves it: what the encoder makes of each item's text;
            rows of zeros are items that it has not read.
        folder: that of the model.
    """
    counts = Counter(token for document in catalogue.documents for token in set(document))
    words = distil.Words(
        sorted(counts), np.array([counts[w] for w in sorted(counts)]), len(catalogue.titles)
    )
    columns = (catalogue.titles, catalogue.descriptions)
    weighted = distil.design(
        words, *[pa.array(column, pa.list_(pa.string())) for column in columns]
    )
    vectors = np.load(encoded)
    read = vectors.any(axis=1)
    rows = distil.fit(weighted[read], vectors[read], _DISTILLED_DIM)
    kept = np.flatnonzero(rows.any(axis=1))
    texts = [words.words[index] for index in kept]
    static = distil.write(texts, rows[kept], folder / "static", text_fingerprint="", float16=False)
    packed = folder / "packed" / "model.safetensors"
    fasttext.attach(packed, static)
    both = _load(packed)
    both.statistics = model.statistics
    return both
