import numpy as np
import pyarrow as pa
import pytest

from pipeline.evaluation import groups
from pipeline.evaluation.groups import Group


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("length", ("length", "", "LATEST")),
        ("new", ("new", "", "LATEST")),
        ("new:night-1", ("new", "", "night-1")),
        ("category", ("", "category", "")),
        ("column:length", ("", "length", "")),
        ("length:of", ("", "length:of", "")),
    ],
)
def test_a_group_is_a_kind_or_a_column(name: str, expected: tuple[str, str, str]) -> None:
    group = Group.of(name)
    assert (group.kind, group.column, group.version) == expected


def test_values_are_groups_the_largest_first_and_blank_last() -> None:
    grouping = groups.by_value(pa.array(["b", None, "a", "c", "c", None, None]))
    assert grouping.names == ["c", "a", "b", "(blank)"]
    assert grouping.codes.tolist() == [2, 3, 1, 0, 0, 3, 3]


def test_of_many_values_the_largest_are_told_apart() -> None:
    texts = [f"{n:02d}" for n in range(30) for _ in range(1 + (n in (7, 9)))]
    grouping = groups.by_value(pa.array(texts))
    assert grouping.names == [
        "07",
        "09",
        *(f"{n:02d}" for n in range(20) if n not in (7, 9)),
        "(the rest)",
    ]
    assert np.bincount(grouping.codes).tolist() == [2, 2, *[1] * 18, 10]
    assert groups.by_value(pa.array([f"{n:02d}" for n in range(21)])).names[-1] == "20"


def test_lengths_are_quarters_and_equal_lengths_are_together() -> None:
    lengths = [1, 2, 2, 3, 4, 5, 6, 90, 0, 2, 2, 2]
    grouping = groups.by_length(pa.array([["x"] * n for n in lengths], pa.list_(pa.string())))
    assert grouping.names == ["0-2 tokens", "3-4 tokens", "5-90 tokens"]
    assert grouping.codes.tolist() == [0, 0, 0, 1, 1, 2, 2, 2, 0, 0, 0, 0]
    same = groups.by_length(pa.array([["x"], ["y"]], pa.list_(pa.string())))
    assert (same.names, same.codes.tolist()) == (["1 tokens"], [0, 0])


def test_items_are_new_or_old() -> None:
    grouping = groups.by_age(pa.array([True, False, True]))
    assert [grouping.names[code] for code in grouping.codes] == ["old", "new", "old"]
