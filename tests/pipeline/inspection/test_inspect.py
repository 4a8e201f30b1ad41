"""Inspections, compared with what is published."""

import json

import numpy as np
import pytest

from pipeline.errors import UsageError
from pipeline.inspection.candidates import rank_candidates
from pipeline.inspection.inspect import Inspector
from pipeline.inspection.version_tables import VersionTables
from pipeline.store.reason_codes import QUARANTINE
from tests.pipeline.conftest import InProcess
from tests.pipeline.shop import K, Shop


@pytest.mark.parametrize("run_id", ["exact", "rules"])
def test_the_candidates_that_are_taken_are_the_published_list(shop: Shop, run_id: str) -> None:
    tables, lists = VersionTables(shop.published(run_id)), shop.lists(run_id)
    assert len(lists) > 200
    for item_id in sorted(lists)[::7]:
        item = tables.item(item_id)
        assert item.row is not None
        probe_count = tables.probes(item)
        assert probe_count is not None
        probes = tables.index.probes(item.row["vector"], probe_count)[0]
        candidates = rank_candidates(tables.index, item, probes)
        taken = [(one.item_id, one.score) for one in candidates if one.removal is None]
        assert taken[:K] == lists[item_id]


def test_what_tokens_add_sums_to_the_published_score(shop: Shop) -> None:
    inspector = Inspector(VersionTables(shop.published("exact")))
    for item_id, published in sorted(shop.lists("exact").items())[:10]:
        inspection = inspector.inspect(item_id)
        assert [(one.item_id, one.score) for one in inspection.neighbours] == published
        for one in inspection.neighbours:
            contributions = one.contributions
            assert contributions.meaning is not None
            assert contributions.letters is not None
            assert one.score is not None
            # Vectors are rounded to float16 once.
            assert abs(contributions.meaning + contributions.letters - one.score) < 2e-3
            assert contributions.other is not None
            shared = sum(share for _, share in contributions.tokens if share is not None)
            assert abs(shared + contributions.other - 1) < 1e-9
            tokens = set(" ".join(inspection.tokens).split())
            assert {word for word, _ in contributions.tokens} <= tokens


def test_why_another_is_not_in_the_list_names_what_keeps_it_out(shop: Shop) -> None:
    tables = VersionTables(shop.published("rules"))
    inspector, lists = Inspector(tables), shop.lists("rules")
    sentences: dict[str, str] = {}
    for item_id in sorted(lists)[::90]:
        shown = {other for other, _ in lists[item_id]}
        for other in sorted(lists)[::5]:
            if other == item_id:
                continue
            why = inspector.inspect(item_id, other).why_not
            assert why is not None
            assert (why["why"] == "shown") == (other in shown)
            key = why.get("rule", why["why"])
            sentences.setdefault(key, why["said"])
            item, _ = tables.item(item_id), tables.item(other)
            if why["why"] == "not_probed":
                probe_count = tables.probes(item)
                assert probe_count is not None
                assert item.row is not None
                probes = tables.index.probes(item.row["vector"], tables.index.nlist)[0]
                assert probes[why["place"] - 1] == why["list"]
                assert why["place"] > probe_count
    assert {"shown", "same", "not_probed", "eligible"} <= sentences.keys()
    assert "stock > 0 does not hold (stock is 0)" in sentences["eligible"]
    assert "rules.same: category" in sentences["same"]


def test_rules_that_removed_better_candidates_are_counted_and_named(shop: Shop) -> None:
    inspector, lists = Inspector(VersionTables(shop.published("rules"))), shop.lists("rules")
    explanations: dict[str, str] = {}
    variants = 0
    for item_id in sorted(lists)[::9]:
        inspection = inspector.inspect(item_id)
        last = lists[item_id][-1][1] if len(lists[item_id]) == K else -1.0
        assert all(one.score >= last for one in inspection.removed)
        assert sum(inspection.removal_counts.values()) >= len(inspection.removed)
        for one in inspection.removed:
            explanations.setdefault(one.rule, one.why)
            variants += "a variant of the item itself" in one.why
    assert variants
    assert "deny" not in explanations
    assert {"eligible", "collapse", "max_per.brand"} <= explanations.keys()
    assert "is there 2 times already: SKU-" in explanations["max_per.brand"]


def test_an_item_that_is_not_in_the_catalogue_is_refused_with_the_reason(shop: Shop) -> None:
    inspector = Inspector(VersionTables(shop.published("exact")))
    with pytest.raises(UsageError, match=r"'EMPTY' is in quarantine: no_text \(the row has"):
        inspector.inspect("EMPTY")
    with pytest.raises(UsageError, match=r"'SKU-1' is not in the catalogue.*ids beside it are"):
        inspector.inspect("SKU-1")
    item_id = sorted(shop.lists("exact"))[0]
    assert inspector.inspect(item_id, "EMPTY").why_not == {
        "item_id": "EMPTY", "title": None, "why": "no_item",
        "said": f"is in quarantine: no_text ({QUARANTINE['no_text'].en})",
    }  # fmt: skip
    with pytest.raises(UsageError, match="the item itself"):
        inspector.inspect(item_id, item_id)


def test_the_command_prints_the_item_and_its_neighbours(shop: Shop, in_process: InProcess) -> None:
    item_id, published = sorted(shop.lists("exact").items())[3]
    base = ("inspect", item_id, "--config", str(shop.file))
    content = json.loads(in_process(*base, "--json"))
    assert content["item_id"] == item_id
    scores = [(one["similar_id"], float(np.float32(one["score"]))) for one in content["neighbours"]]
    assert scores == published
    assert abs(content["norm"] - 1) < 1e-2
    lines = in_process(*base, "--version", "rules").splitlines()
    assert lines[0].startswith(item_id)
    assert "run rules" in lines[1]
    ids = [other for other, _ in shop.lists("rules").get(item_id, [])]
    assert all(any(other in line for line in lines) for other in ids)
