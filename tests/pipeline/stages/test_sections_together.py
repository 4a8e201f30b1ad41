"""The sections that decide what a shop shows, alone and together, against their definitions."""

from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pyspark.sql import SparkSession

from pipeline.inspection.inspect import Inspector
from pipeline.inspection.version_tables import VersionTables
from tests.pipeline.stages.definitions import table as oracle
from tests.pipeline.stages.definitions.table import Settings, Shown
from tests.pipeline.stages.odd_shop import DENIED, ODD_CASES, SECTIONS, odd_catalogue
from tests.pipeline.stages.showcase import Showcase, as_refused
from tests.pipeline.stages.test_rules import K

pytestmark = pytest.mark.slow

PARTITIONS = (1, 7, 64)
LARGER = 9


def merged(*parts: Settings) -> dict[str, Any]:
    """Settings with all that each part has."""
    both: dict[str, Any] = {"neighbors": {"k": K}}
    for part in parts:
        for name, section in part.items():
            both[name] = {**both.get(name, {}), **section}
    return both


def cases() -> list[Any]:
    """Each section alone, all pairs, larger combinations, and odd ones.

    Returns:
        the settings, and in how many partitions they are tried: each in one, every tenth in all.
    """
    rng = np.random.default_rng(7)
    chosen = [*combinations(SECTIONS, 1), *combinations(SECTIONS, 2)]
    for _ in range(LARGER):
        drawn = rng.permutation(list(SECTIONS))[: int(rng.integers(3, len(SECTIONS) + 1))]
        chosen.append(tuple(drawn.tolist()))
    params = []
    for number, names in enumerate(chosen):
        kinds = [int(rng.integers(2)) for _ in names]
        settings = merged(*(SECTIONS[n][kind] for n, kind in zip(names, kinds, strict=True)))
        if number % 4 == 3:
            settings["neighbors"] |= {"nprobe": 2, "max_probes": (0, 2, 6)[number % 3]}
        params.append(
            (settings, "-".join(f"{n}{kind}" for n, kind in zip(names, kinds, strict=True)))
        )
    params += [(merged(settings), name) for name, settings in ODD_CASES.items()]
    return [
        pytest.param(
            settings,
            PARTITIONS[number % 3 :] + PARTITIONS[: number % 3] if number % 10 == 6
            else PARTITIONS[number % 3 :][:1],
            id=f"case{number:02d}-{name}",
        )
        for number, (settings, name) in enumerate(params)
    ]  # fmt: skip


@pytest.fixture(scope="module")
def shop(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Showcase:
    shop = Showcase(tmp_path_factory.mktemp("showcase"))
    rows = odd_catalogue(110)
    rows[5]["item_id"] = "i'00\\4"
    shop.write(rows, [(a, b) for a, b in DENIED])
    shop.embed()
    return shop


@pytest.mark.parametrize(("settings", "partitions"), cases())
def test_the_published_table_is_the_one_that_is_defined(
    shop: Showcase, tmp_path: Path, settings: Settings, partitions: tuple[int, ...]
) -> None:
    shop.show(settings, partitions[0])
    catalogue = shop.catalogue(in_lists="nprobe" in settings["neighbors"])
    tables = {"": settings}
    if "variant" in settings:
        variant: Settings = settings["variant"]
        neighbors = settings["neighbors"] | variant["neighbors"]
        tables["@b"] = {**settings, **variant, "neighbors": neighbors}
    for name, own in tables.items():
        expected, found = oracle.publish(catalogue, own), shop.shown(name)
        compare(found, expected.lists, is_ranked="rank" in own or "edits" in own)
        if "edits" in settings:
            assert shop.refused(expected, name) == as_refused(expected)
        check_answers(shop, name, found)
    lists = {name: shop.shown(name) for name in tables}
    for count in partitions[1:]:
        other = shop.copy(tmp_path / str(count))
        other.show(settings, count)
        assert {name: other.shown(name) for name in tables} == lists


def compare(
    found: dict[str, list[Shown]], expected: dict[str, list[Shown]], *, is_ranked: bool
) -> None:
    """Compare ids, ranks and reasons; scores within 1e-6."""
    assert sorted(found) == sorted(expected)
    for item, best in expected.items():
        names = [f"{item}: {one.similar_id} {one.reason}" for one in best]
        assert [f"{item}: {one.similar_id} {one.reason}" for one in found[item]] == names
        for got, wanted in zip(found[item], best, strict=True):
            ranked_by = wanted.ranked_by if is_ranked else None
            for value, defined in ((got.score, wanted.score), (got.ranked_by, ranked_by)):
                assert (value is None) == (defined is None), (item, got, wanted)
                assert value is None or value == pytest.approx(defined, abs=1e-6), (item, got)


def check_answers(shop: Showcase, variant: str, found: dict[str, list[Shown]]) -> None:
    """Compare with what query and inspect say, to the bit; the terms of a rank add up to it."""
    published = shop.published_as(variant)
    answers = shop.answers(published)
    assert {
        item: [Shown(n.similar_id, n.score, n.ranked_by, n.reason) for n in best]
        for item, best in answers.items()
    } == found
    inspector = Inspector(VersionTables(published))
    explained = [one for best in answers.values() for one in best]
    for item in ("i001", "i004", "i042", "i060"):
        shown = inspector.inspect(item).neighbours
        values = [Shown(one.item_id, one.score, one.ranked_by, one.reason) for one in shown]
        assert values == found.get(item, [])
        explained += shown
    for one in explained:
        if one.ranked_by is not None:
            total = one.score + sum(one.boosts.values())
            assert total == pytest.approx(one.ranked_by, abs=2e-6)
