"""The regression of a distilled model, against scikit-learn's."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from scipy.sparse import csr_matrix
from sklearn.decomposition import PCA
from sklearn.linear_model import Ridge

from models import ModelError, static
from models.fasttext import Blend, BlendEmbedder, Embedder
from models.fasttext.catalogue_statistics import DocumentCounter
from models.fasttext.token_batch import TokenBatch
from models.static import distil
from tests.models.static.files import DIM

RNG = np.random.default_rng(5)
VOCABULARY = [f"語{n}" for n in range(40)]
TITLES, DESCRIPTIONS = (
    [list(RNG.choice(VOCABULARY, RNG.integers(low, 9))) for _ in range(120)] for low in (1, 0)
)
TARGETS = RNG.standard_normal((120, DIM)).astype(np.float32) + np.float32(3)


def words() -> distil.Words:
    documents = [set(title) | set(text) for title, text in zip(TITLES, DESCRIPTIONS, strict=True)]
    counts = [sum(word in document for document in documents) for word in VOCABULARY]
    return distil.Words(VOCABULARY, np.array(counts), len(documents))


def weighted() -> csr_matrix:
    kind = pa.list_(pa.string())
    return distil.design(words(), pa.array(TITLES, kind), pa.array(DESCRIPTIONS, kind))


def test_rows_are_those_of_a_ridge_regression() -> None:
    rows = distil.fit(weighted(), TARGETS, 10)
    reduced = PCA(10).fit_transform(TARGETS.astype(np.float64))
    ridge = Ridge(alpha=distil.RIDGE, fit_intercept=False, solver="cholesky")
    expected = ridge.fit(weighted().toarray(), reduced).coef_.T
    # The sign of an axis is arbitrary, so that products are compared.
    assert np.abs(rows @ rows.T - expected @ expected.T).max() < 1e-3 * np.abs(expected).max() ** 2


def test_a_blend_adds_words_up_as_the_regression_did(tmp_path: Path) -> None:
    rows = distil.fit(weighted(), TARGETS, 10)
    path = distil.write(VOCABULARY, rows, tmp_path, text_fingerprint="", float16=False)
    model = static.load(path)
    assert isinstance(model, Embedder)
    counter = DocumentCounter()
    documents = [title + text for title, text in zip(TITLES, DESCRIPTIONS, strict=True)]
    counter.add(TokenBatch.from_arrow(*Embedder.flatten(documents)))
    model.statistics = counter.finish(np.zeros(10, dtype=np.float32))
    kind = pa.list_(pa.string())
    titles, descriptions = pa.array(TITLES, kind), pa.array(DESCRIPTIONS, kind)
    vectors = BlendEmbedder(model, Blend(dim=0)).embed_fields(titles, descriptions)
    sums = weighted() @ rows
    lengths = np.linalg.norm(sums, axis=1, keepdims=True)
    # A description counts less where it would outweigh its title by far.
    agree = np.einsum("ij,ij->i", vectors, sums / lengths)
    assert np.median(agree) > 0.999
    assert agree.min() > 0.9


def test_a_word_that_is_not_known_has_no_vector(tmp_path: Path) -> None:
    rows = distil.fit(weighted(), TARGETS, 10)
    path = distil.write(VOCABULARY, rows, tmp_path, text_fingerprint="", float16=True)
    vectors = static.load(path).embed([["語1"], ["知らない"], ["語1", "知らない"]])
    assert vectors.any(axis=1).tolist() == [True, False, True]
    assert np.array_equal(vectors[0], vectors[2])


def test_no_more_dimensions_than_the_encoder_has() -> None:
    with pytest.raises(ModelError, match=f"have {DIM} dimensions, not 99"):
        distil.fit(weighted(), TARGETS, 99)
