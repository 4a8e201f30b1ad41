from pathlib import Path

import pytest

from pipeline.monitoring import notices
from pipeline.storage.files import write_json
from pipeline.store.store import Store
from tests.pipeline.monitoring import ends
from tests.pipeline.report import handmade


def publish(store: Store, *seconds: float) -> None:
    """Let a store have runs that published, and took so long, the oldest first."""
    for number, taken in enumerate(seconds, 1):
        run_id = f"night{number}"
        run = handmade.run_json(run_id=run_id, seconds=taken)
        write_json(store.run_path(run_id) / "run.json", run)
        write_json(
            store.root / "publications" / f"{number}.json",
            {
                "number": number,
                "action": "published",
                "time": "2026-11-01T01:02:03+00:00",
                "version": handmade.VERSION,
                "run_id": run_id,
                "tables": {},
                "stages": {},
            },
        )


def test_a_publication_is_told_with_its_numbers() -> None:
    notice = notices.of_end(ends.end())
    assert notice is not None
    assert notice["event"] == "published"
    assert notice["text"] == (
        "Run night7 has published version 0123456789abcdef: 57 items, recall 0.9900, "
        "10.0% of the neighbours replaced.\n/data/store/runs/night7/report.html"
    )
    assert {"exit_code": 0, "items": 57, "recall": 0.99, "churn": 0.1}.items() <= notice.items()


@pytest.mark.parametrize(
    ("code", "status", "todo"),
    [
        (2, "failed", "Mend the config"),
        (3, "failed", "Mend the catalogue"),
        (4, "held_back", "--set that the message names"),
        (5, "failed", "goes on from the last finished stage"),
        (143, "failed", "has ended it"),
    ],
)
def test_a_failure_says_what_why_and_what_to_do(code: int, status: str, todo: str) -> None:
    notice = notices.of_end(
        ends.end({}, exit_code=code, status=status, message="why it was", page="")
    )
    assert notice is not None
    assert notice["event"] == status
    assert notice["why"] == "why it was"
    assert todo in notice["todo"]
    assert "What is published stays as it was." in notice["what"]
    assert notice["text"] == f"{notice['what']}\nwhy it was\nTo do: {notice['todo']}"


def test_a_part_of_the_chain_that_is_done_is_not_told() -> None:
    assert notices.of_end(ends.end(status="done")) is None


def test_slack_sees_no_mention_in_a_text_and_long_reasons_are_cut() -> None:
    why = "<!channel> & " + "x" * 5000
    notice = notices.of_end(ends.end(exit_code=3, status="failed", message=why))
    assert notice is not None
    assert "&lt;!channel&gt; &amp; " in notice["text"]
    assert notice["why"].startswith("<!channel> & ")
    assert len(notice["why"]) == 2000


def test_usual_is_the_median_of_the_last_ten(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "store"))
    publish(store, *[1000.0] * 5, *[float(n) for n in range(10, 20)])
    assert notices.usual_seconds(store, "other") == 14.5


def test_two_nights_are_no_habit_and_the_run_itself_does_not_count(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "store"))
    publish(store, 10.0, 20.0, 30.0)
    assert notices.usual_seconds(store, "other") == 20
    assert notices.usual_seconds(store, "night2") is None
