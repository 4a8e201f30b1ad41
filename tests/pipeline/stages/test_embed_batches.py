"""Embedding a batch of items, without Spark."""

import pyarrow as pa

from pipeline.stages.embed.batches import split_tokens


def test_tokens_are_split_at_spaces_and_empty_strings_have_none() -> None:
    texts = pa.array(["a b", "", "c", ""]).slice(1)
    assert split_tokens(texts).to_pylist() == [[], ["c"], []]
    assert split_tokens(pa.array(["a b", "c"])).to_pylist() == [["a", "b"], ["c"]]
    assert split_tokens(pa.array([], pa.string())).to_pylist() == []
