"""inspect against what is published."""

import json

import numpy as np
import pytest

from pipeline.errors import UsageError
from pipeline.inspection.candidates import walk
from pipeline.inspection.inspect import Inspector
from pipeline.inspection.item import Version
from tests.pipeline.conftest import InProcess
from tests.pipeline.shop import K, Shop

CAPS = ["collapse", "max_per.brand"]


@pytest.mark.parametrize("run_id", ["exact", "rules"])
def test_the_walk_down_the_candidates_takes_what_is_published(shop: Shop, run_id: str) -> None:
    version, lists = Version(shop.published(run_id)), shop.lists(run_id)
    assert len(lists) > 200
    for item_id in sorted(lists)[::7]:
        item = version.item(item_id)
        assert item.row is not None
        searched = version.searched(item)
        assert searched is not None
        probes = version.index.probes(item.row["vector"], searched)[0]
        found = walk(version.index, item, probes, CAPS if run_id == "rules" else [])
        taken = [(one.item_id, one.score) for one in found if one.removed is None]
        assert taken[:K] == lists[item_id]


def test_what_tokens_add_sums_to_the_published_score(shop: Shop) -> None:
    inspector = Inspector(Version(shop.published("exact")))
    for item_id, published in sorted(shop.lists("exact").items())[:10]:
        found = inspector.inspect(item_id)
        assert [(one.item_id, one.score) for one in found.neighbours] == published
        for one in found.neighbours:
            shares = one.shares
            assert shares.meaning is not None
            assert shares.letters is not None
            # Vectors are rounded to float16 once.
            assert abs(shares.meaning + shares.letters - one.score) < 2e-3
            assert shares.other is not None
            shared = sum(share for _, share in shares.tokens if share is not None)
            assert abs(shared + shares.other - 1) < 1e-9
            assert {word for word, _ in shares.tokens} <= set(" ".join(found.tokens).split())


def test_why_another_is_not_in_the_list_names_what_keeps_it_out(shop: Shop) -> None:
    version = Version(shop.published("rules"))
    inspector, lists = Inspector(version), shop.lists("rules")
    seen: dict[str, str] = {}
    for item_id in sorted(lists)[::90]:
        shown = {other for other, _ in lists[item_id]}
        for other in sorted(lists)[::5]:
            if other == item_id:
                continue
            why = inspector.inspect(item_id, other).why_not
            assert why is not None
            assert (why["why"] == "shown") == (other in shown)
            key = why.get("rule", why["why"])
            seen.setdefault(key, why["said"])
            item, _ = version.item(item_id), version.item(other)
            if why["why"] == "not_probed":
                searched = version.searched(item)
                assert searched is not None
                assert item.row is not None
                probes = version.index.probes(item.row["vector"], version.index.nlist)[0]
                assert probes[why["place"] - 1] == why["list"]
                assert why["place"] > searched
    assert {"shown", "same", "not_probed", "eligible"} <= seen.keys()
    assert "stock > 0 does not hold (stock is 0)" in seen["eligible"]
    assert "rules.same: category" in seen["same"]


def test_rules_that_removed_better_candidates_are_counted_and_named(shop: Shop) -> None:
    inspector, lists = Inspector(Version(shop.published("rules"))), shop.lists("rules")
    said: dict[str, str] = {}
    for item_id in sorted(lists)[::9]:
        found = inspector.inspect(item_id)
        last = lists[item_id][-1][1] if len(lists[item_id]) == K else -1.0
        assert all(one.score >= last for one in found.nearest)
        assert sum(found.removed.values()) >= len(found.nearest)
        for one in found.nearest:
            said.setdefault(one.rule, one.why)
    assert {"eligible", "collapse", "max_per.brand"} <= said.keys()
    assert "is there 2 times already: SKU-" in said["max_per.brand"]


def test_items_that_are_none_are_told_of(shop: Shop) -> None:
    inspector = Inspector(Version(shop.published("exact")))
    with pytest.raises(UsageError, match="'EMPTY' is in quarantine: no_text"):
        inspector.inspect("EMPTY")
    with pytest.raises(UsageError, match=r"'SKU-1' is not in the catalogue.*ids beside it are"):
        inspector.inspect("SKU-1")
    item_id = sorted(shop.lists("exact"))[0]
    assert inspector.inspect(item_id, "EMPTY").why_not == {
        "item_id": "EMPTY", "title": None, "why": "no_item", "said": "is in quarantine: no_text",
    }  # fmt: skip
    with pytest.raises(UsageError, match="the item itself"):
        inspector.inspect(item_id, item_id)


def test_the_command_prints_the_item_and_its_neighbours(shop: Shop, in_process: InProcess) -> None:
    item_id, published = sorted(shop.lists("exact").items())[3]
    base = ("inspect", item_id, "--config", str(shop.file))
    told = json.loads(in_process(*base, "--json"))
    assert told["item_id"] == item_id
    scores = [(one["similar_id"], float(np.float32(one["score"]))) for one in told["neighbours"]]
    assert scores == published
    assert abs(told["norm"] - 1) < 1e-2
    lines = in_process(*base, "--version", "rules").splitlines()
    assert lines[0].startswith(item_id)
    assert "run rules" in lines[1]
    ids = [other for other, _ in shop.lists("rules").get(item_id, [])]
    assert all(any(other in line for line in lines) for other in ids)
