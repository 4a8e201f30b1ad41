"""publish.reasons: the words of each pair, night after night, and what else shows them."""

from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.config import reading as config
from pipeline.errors import StageError
from pipeline.inspection.contributions import TokenModel
from pipeline.query import questions
from pipeline.query.answer import Answerer
from pipeline.query.published import Published
from pipeline.report import run_page
from pipeline.stages.publish import shared_words, sorted_tables
from pipeline.storage.paths import StoragePath
from pipeline.text.shown_words import shown_title, shown_words
from pipeline.text.tokenize import TextSettings, Tokenizer
from tests.pipeline.sample_shop import SampleShop, copy_shop
from tests.pipeline.tables import read_rows

REASONS = "publish.reasons=true"
Rows = list[dict[str, Any]]


@pytest.fixture(scope="module")
def shop(published_samples: Path, tmp_path_factory: pytest.TempPathFactory) -> SampleShop:
    """A shop after a night without the words and one with them, which takes over the rest."""
    copy = copy_shop(published_samples, tmp_path_factory.mktemp("words") / "shop")
    first = copy.published()
    outcome = copy.run(REASONS)
    assert [status for _, status, _ in outcome.stages] == ["reused"] * 6 + ["done"]
    table = copy.published()
    assert list(table) == [*first, "shared_words"]
    assert {name: table[name] for name in first} == first
    assert copy.run(REASONS).stages[-1][1] == "reused"
    return copy


def table(shop: SampleShop) -> Rows:
    rows: Rows = pq.read_table(str(folder(shop))).to_pylist()
    return rows


def folder(shop: SampleShop) -> StoragePath:
    """The published table's folder, in the shop's own store."""
    return shop.store.table_path("similar_items", Published.of(shop.store).version)


def items_of(shop: SampleShop) -> dict[str, dict[str, Any]]:
    version = Published.of(shop.store).table("items", "ingest")
    return {row["item_id"]: row for row in read_rows(shop.store, "items", version)}


def greedy(words: list[tuple[str, int, int]]) -> list[str]:
    """The first two words that do not overlap."""
    chosen: list[tuple[str, int, int]] = []
    for form, start, end in words:
        if all((start >= e or end <= s) and form != one for one, s, e in chosen):
            chosen.append((form, start, end))
    return [form for form, _, _ in chosen[:2]]


def test_the_words_are_the_shared_ones_that_inspect_says_carry_most(shop: SampleShop) -> None:
    published = Published.of(shop.store)
    model, tokenizer = TokenModel(published), Tokenizer(TextSettings())
    items = items_of(shop)
    rows = read_rows(shop.store, "tokens", published.table("tokens", "tokenize"))
    tokens = {row["item_id"]: (row["title_tokens"], row["description_tokens"]) for row in rows}
    numbers = Counter[int]()
    for row in table(shop)[::29]:
        own, other = tokens[row["item_id"]], tokens[row["similar_id"]]
        titles = [set(text[0].split()) - set(model.phrase_tokens(text)) for text in (own, other)]
        shown = shown_words(tokenizer, shown_title(items[row["item_id"]]["title"]))
        shares = [
            (round(-share, 5), shown[token].form, shown[token])
            for token, share in model.contributions(own, other).tokens
            if token in titles[0] & titles[1] & shown.keys() and share
        ]
        expected = greedy([word for _, _, word in sorted(shares)])
        if row["shared_words"] != expected:
            # Equal to five digits: rounding may have put one before the other.
            share_of = {form: share for share, form, _ in shares}
            ours = [share_of[form] for form in row["shared_words"]]
            assert ours == pytest.approx([share_of[form] for form in expected], abs=2e-5)
        numbers[len(row["shared_words"])] += 1
    assert numbers[2] > 100
    assert numbers[0] + numbers[1] > 0


def test_files_and_ranges_do_not_change_them(
    shop: SampleShop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, copy = table(shop), copy_shop(shop.folder, tmp_path / "shop")
    version = Published.of(copy.store).version
    copy.store.record_path("publish", version).unlink()
    for name in ("similar_items", shared_words.TABLE):
        copy.store.discard_version(name, version)
    monkeypatch.setattr(sorted_tables, "_PAIRS_PER_FILE", 2_300)
    monkeypatch.setattr(shared_words, "_BLOCK_ROWS", 33)
    outcome = copy.run(REASONS)
    assert outcome.stages[-1][1] == "done"
    assert len(list(folder(copy).glob("*.parquet"))) == 7
    assert table(copy) == before


def test_a_query_gives_the_words_of_the_batch(shop: SampleShop) -> None:
    settings = config.load(shop.folder / "nitamono.toml", (REASONS,), {})
    answerer = Answerer(Published.of(shop.store), settings, None)
    expected: dict[str, list[list[str]]] = {}
    for row in table(shop):
        expected.setdefault(row["item_id"], []).append(row["shared_words"])
    (batch,) = questions.read(shop.catalogue, settings.catalogue, {})
    answers = {a.item_id: a.neighbours for a in answerer.answer(batch.slice(0, 60))}
    found = {
        item: [one.as_json()["shared_words"] for one in best] for item, best in answers.items()
    }
    assert found == {item: expected.get(str(item), []) for item in answers}
    assert any(found.values())


def test_the_page_shows_the_words(shop: SampleShop) -> None:
    content = run_page.page_data(shop.store, Published.of(shop.store).run_id, 0)
    sample, pairs = content["sample"], {}
    for row in table(shop):
        pairs[row["item_id"], row["similar_id"]] = row["shared_words"]
    compared = 0
    for place, best in sample["shown"]:
        for other, _, *words in best:
            pair = sample["items"][place][0], sample["items"][other][0]
            assert words == ([pairs[pair]] if pairs[pair] else [])
            compared += 1
    assert compared > 1000


def test_a_model_without_words_is_refused(shop: SampleShop) -> None:
    class Other:
        reads = "text"

    tokens = pa.record_batch({"item_id": ["a"], "title_tokens": ["靴"], "description_tokens": [""]})
    with pytest.raises(StageError, match="no word carries"):
        shared_words.words_of_items(Other(), tokens)  # type: ignore[arg-type]
