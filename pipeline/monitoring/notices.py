"""Notices: what is told to people, and to whom."""

import json
from collections.abc import Iterator
from contextlib import suppress
from itertools import islice
from statistics import median
from typing import Any

from pipeline.config.sections import Config, NotifySection
from pipeline.errors import DamagedError
from pipeline.monitoring.delivery import Deadline, Delivery, post, secret_address
from pipeline.monitoring.programs import call
from pipeline.monitoring.run_events import RunEnd, RunStart
from pipeline.store import publications, run_records
from pipeline.store.store import Store

SLOW = "slow"
_MAX_TEXT = 2000
# Slow is what takes longer than usual; fewer nights are no habit.
_NIGHTS, _MIN_NIGHTS = 10, 3
_UNCHANGED = "What is published stays as it was."
# By exit code.
_TODO = {
    2: "Mend the config or the command, and start the run again.",
    3: "Mend the catalogue, or what else the message names, and start the run again.",
    4: "Look at the page and at the limits under [publish]. If the change is meant, start the same "
    "command again with the --set that the message names: it publishes this table.",
    5: "Start the same command again: it goes on from the last finished stage. If it fails again, "
    "do what the message says.",
}
_RESUME = "Somebody or something has ended it. Start the same command again."


def of_end(end: RunEnd) -> dict[str, Any] | None:
    """The notice of a run's end; None if there is nothing to tell: a part of a run is done."""
    if end.status == run_records.DONE:
        return None
    run_id, what = end.start.run_id, ""
    if end.status == run_records.PUBLISHED:
        numbers = [f"{end.counts['items']:,} items"] if "items" in end.counts else []
        numbers += [f"recall {end.recall['value']:.4f}"] if end.recall else []
        numbers += [f"{end.churn:.1%} of the neighbours replaced"] if end.churn is not None else []
        what = f"Run {run_id} has published version {end.version}: {', '.join(numbers)}."
    elif end.status == run_records.HELD_BACK:
        what = f"The gate holds back the table of run {run_id}. {_UNCHANGED}"
    else:
        what = f"Run {run_id} has failed with exit code {end.exit_code}. {_UNCHANGED}"
    todo = "" if end.succeeded else _TODO.get(end.exit_code, _RESUME)
    return _body(
        end.status,
        end.start,
        what,
        end.message,
        todo,
        page=end.page,
        exit_code=end.exit_code,
        seconds=end.seconds,
        **end.numbers(),
    )


def of_slow_run(start: RunStart, seconds: float, usual: float) -> dict[str, Any]:
    """The notice that a run takes longer than usual, while it is under way.

    Args:
        start: the start of the run.
        seconds: how long it has taken so far.
        usual: how long runs take.
    """
    return _body(
        SLOW,
        start,
        f"Run {start.run_id} is slow: it has taken {seconds:,.0f} s and is not done.",
        f"The median of the runs published last is {usual:,.0f} s.",
        "Look at its log and at Spark's web page: is a stage at work, or does it wait? A run that "
        "is ended goes on from the last finished stage when it is started again.",
        seconds=round(seconds, 3),
        usual_seconds=round(usual, 3),
    )


def _body(
    event: str,
    start: RunStart,
    what: str,
    why: str,
    todo: str,
    *,
    page: str = "",
    **numbers: object,
) -> dict[str, Any]:
    why = why if len(why) <= _MAX_TEXT else f"{why[: _MAX_TEXT - 1]}…"
    lines = [what, why, f"To do: {todo}" if todo else "", page]
    return {
        "text": _slack("\n".join(line for line in lines if line)),
        "event": event,
        "run_id": start.run_id,
        "store": start.config.store.path,
        "what": what,
        "why": why,
        "todo": todo,
        "page": page,
        "started": start.time.isoformat(),
        **numbers,
    }


def _slack(text: str) -> str:
    """A text in which Slack sees no links, mentions or commands."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def deliveries(config: Config, notice: dict[str, Any]) -> Iterator[Delivery]:
    """The deliveries of a notice to all receivers that want its kind."""
    for receiver in config.notify:
        if notice["event"] in receiver.on:
            yield delivery(receiver, notice)


def delivery(receiver: NotifySection, notice: dict[str, Any]) -> Delivery:
    """The delivery of a notice to a receiver."""
    content = json.dumps(notice, ensure_ascii=False).encode()

    def send(deadline: Deadline) -> None:
        if receiver.command:
            call(receiver.command, content, deadline)
        else:
            headers = {"Content-Type": "application/json; charset=utf-8"}
            post(secret_address(receiver.url_env), content, headers, deadline)

    to = receiver.url_env or receiver.command[0]
    return Delivery(f"notice ({notice['event']}) to {to}", send)


def usual_seconds(store: Store, run_id: str) -> float | None:
    """The median of the seconds of the runs published last, at most ten.

    Args:
        store: the store.
        run_id: the run under way, which does not count.

    Returns:
        None if there are fewer than three.
    """
    names = {entry.run_id: None for entry in islice(publications.newest_first(store), 2 * _NIGHTS)}
    seconds = []
    for name in names:
        run = None
        # A damaged record of a night says nothing of the others.
        with suppress(DamagedError):
            run = run_records.read_run_json(store, name) if name != run_id else None
        if run is not None and run["status"] == run_records.PUBLISHED:
            seconds.append(run["seconds"])
    return median(seconds[:_NIGHTS]) if len(seconds) >= _MIN_NIGHTS else None
