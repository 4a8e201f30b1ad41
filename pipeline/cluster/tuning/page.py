"""The page of a tuning: its trials as bars, in one file without scripts."""

from collections.abc import Sequence
from html import escape

from pipeline.cluster.sizing.memory_size import readable
from pipeline.cluster.tuning.search import Trial

_WIDTH, _LEFT, _LINE = 900, 230, 26
_GOOD, _BEST, _BAD = "#7a9cc6", "#2f6b3c", "#b5483a"


def html(trials: Sequence[Trial], winner: Trial | None, items: int) -> str:
    """The page: seconds of each trial, in order; those that failed with their reason."""
    longest = max((trial.seconds or 0 for trial in trials), default=0) or 1
    bars = [_bar(place, trial, trial == winner, longest) for place, trial in enumerate(trials)]
    height = _LINE * len(trials) + 10
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>nitamono tune</title>'
        "<style>body{font:14px sans-serif;margin:2em}text{font-size:13px}</style>"
        f"<h1>nitamono tune</h1><p>Seconds to embed {items:,} items, by executors a node, cores "
        "and memory of each, in the order in which they were tried. The best is green: of those "
        "within 5% of the fastest the one with the fewest tasks.</p>"
        f'<svg width="{_WIDTH}" height="{height}" viewBox="0 0 {_WIDTH} {height}" '
        f'xmlns="http://www.w3.org/2000/svg">{"".join(bars)}</svg></html>\n'
    )


def _bar(place: int, trial: Trial, wins: bool, longest: float) -> str:
    setup, top = trial.setup, place * _LINE + 5
    name = f"{setup.executors} x {setup.cores} cores, {readable(setup.memory)}"
    label = f'<text x="0" y="{top + 14}">{escape(name)}</text>'
    if trial.seconds is None:
        return f'{label}<text x="{_LEFT}" y="{top + 14}" fill="{_BAD}">{escape(trial.why)}</text>'
    width = max(1, round((_WIDTH - _LEFT - 80) * trial.seconds / longest))
    return (
        f'{label}<rect x="{_LEFT}" y="{top}" width="{width}" height="{_LINE - 8}" '
        f'fill="{_BEST if wins else _GOOD}"/>'
        f'<text x="{_LEFT + width + 6}" y="{top + 14}">{trial.seconds:,.1f} s</text>'
    )
