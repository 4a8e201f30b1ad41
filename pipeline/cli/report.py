"""The verb `report`: a run's page, made anew."""

import argparse
from pathlib import Path

from pipeline.cli.verb import Verb
from pipeline.config.sections import Config
from pipeline.errors import UsageError
from pipeline.report import run_page
from pipeline.storage.files import write_atomic
from pipeline.store.store import Store
from pipeline.terminal.output import print_json, print_lines


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", nargs="?", default="LATEST", metavar="RUN",
                        help="a run, or LATEST, the run that is published now, "
                        "if not given")  # fmt: skip
    parser.add_argument("--out", metavar="FILE",
                        help="write the page there, not into the run's folder")  # fmt: skip


def _do(given: argparse.Namespace, settings: Config) -> None:
    store = Store.of(settings, make=False)
    run_id, most = _run(store, given.run), settings.report.map_items
    if given.json:
        print_json(run_page.page_data(store, run_id, most))
        return
    if given.out is None:
        print_lines([str(run_page.write(store, run_id, most))])
        return
    content = run_page.html(run_page.page_data(store, run_id, most))
    try:
        write_atomic(Path(given.out), content)
    except OSError as error:
        raise UsageError(f"--out {given.out}: can't be written: {error.strerror}") from error
    print_lines([given.out])


def _run(store: Store, name: str) -> str:
    if name != "LATEST":
        return name
    latest = store.latest()
    if latest is None:
        raise UsageError(
            f"nothing is published in {store.root}; name a run: nitamono runs lists them"
        )
    return latest["run_id"]


REPORT = Verb(
    "report",
    "make the page of a run anew: report.html",
    "LATEST --out report.html",
    _arguments,
    _do,
)
