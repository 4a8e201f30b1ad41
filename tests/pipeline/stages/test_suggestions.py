"""Suggested limits: the catalogue that they were made of meets them, as a config has them."""

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest

from pipeline.config.sections import ExpectSection
from pipeline.stages.ingest import expectations, suggestions
from tests.conftest import WriteCsv
from tests.pipeline.conftest import InProcess


def counts(items: int, quarantined: int, letters: int, japanese: int, **columns: Any) -> Any:
    texts = {"title": {"null": 0, "distinct": items, "longest": 1}}
    return {
        "rows_read": items + quarantined,
        "items": items,
        "quarantined": quarantined,
        "profile": {
            "columns": {"item_id": {"null": 0}} | texts | columns,
            "letters": letters,
            "japanese_letters": japanese,
        },
    }


@pytest.mark.parametrize(
    "found",
    [
        counts(1, 0, 0, 0),
        counts(1, 99, 3, 3),
        counts(1000, 333, 1000, 0, brand={"null": 999, "distinct": 1}),
        counts(1000, 1, 1000, 999, brand={"null": 667, "distinct": 2}),
        counts(
            10**8,
            7,
            10**9,
            5 * 10**8,
            description={"null": 123_456, "longest": 987_654_321},
            price={"null": 0, "distinct": 54_321_987},
            kind={"null": 10**8, "distinct": 0},
        ),
    ],
)
def test_a_catalogue_meets_the_limits_that_are_suggested_for_it(found: Any) -> None:
    limits = suggestions.suggest(found)
    pasted = tomllib.loads("\n".join(suggestions.as_toml(limits)))["expect"]
    assert pasted == suggestions.as_settings(limits)
    checked = expectations.of_catalogue(ExpectSection(**pasted), found, None, min_rows=0.9)
    assert [one.problem() for one in checked if not one.is_met] == []


def test_profile_prints_what_there_is_and_writes_nothing(
    in_process: InProcess, write_csv: WriteCsv, tmp_path: Path
) -> None:
    write_csv([("a", "赤い靴", "x"), ("b", "red", ""), ("", "鞄", "")])
    file = tmp_path / "nitamono.toml"
    file.write_text('[store]\npath = "store"\n[catalogue]\npath = "catalogue.csv"\n')
    text = in_process("profile", "--config", str(file))
    assert "3 rows read, 2 items, 1 in quarantine (no_item_id 1)" in text
    assert "50.0% of the letters of titles are kana or kanji" in text
    expect = tomllib.loads(text[text.index("[expect]") :])["expect"]
    assert expect["max_empty_descriptions"] == 0.76
    assert expect["max_quarantined"] == 0.51
    found = json.loads(in_process("profile", "--config", str(file), "--json"))
    assert found["expect"] == expect
    assert found["profile"]["columns"]["description"] == {"null": 1, "longest": 1}
    assert not (tmp_path / "store").exists()
