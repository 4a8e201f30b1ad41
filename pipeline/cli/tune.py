"""The verb `tune`: which executors embed fastest on this cluster, by trial."""

import argparse
from pathlib import Path

from pipeline.cli.size import add_nodes
from pipeline.cli.verb import Verb, positive, seconds
from pipeline.cluster.tuning.result import as_json, rows
from pipeline.cluster.tuning.tune import TuningOptions, tune
from pipeline.config.sections import Config
from pipeline.terminal.output import print_json, print_lines, table
from pipeline.terminal.progress import Progress

_SAMPLE, _TIMEOUT = 200_000, 1800.0


def _arguments(parser: argparse.ArgumentParser) -> None:
    add_nodes(parser, required=True)
    parser.add_argument("--sample", type=positive, default=_SAMPLE, metavar="N",
                        help="embed N items in each trial, about; "
                        f"{_SAMPLE:,} if not given")  # fmt: skip
    parser.add_argument("--timeout", type=seconds, default=_TIMEOUT, metavar="SECONDS",
                        help="a trial that takes longer has failed; "
                        f"{_TIMEOUT:.0f} if not given")  # fmt: skip
    parser.add_argument("--out", type=Path, metavar="FILE",
                        help="write the best settings there; else in the run's folder")  # fmt: skip


def _do(given: argparse.Namespace, settings: Config) -> None:
    options = TuningOptions(
        cores=given.node_cores,
        memory=given.node_memory,
        nodes=given.nodes,
        sample=given.sample,
        timeout=given.timeout,
        out=given.out,
    )
    found = tune(settings, options, Progress())
    if given.json:
        print_json(as_json(found))
        return
    head = ["executors a node", "cores", "memory", "seconds", "items/s", ""]
    print_lines(table(head, rows(found), right="cores memory seconds items/s"))
    print_lines([f"settings  {found.conf}", f"curve     {found.page}"])


TUNE = Verb(
    "tune",
    "try executors of several sizes on the cluster, and write the best settings",
    "--node-cores 16 --node-memory 60g --nodes 10",
    _arguments,
    _do,
    group="cluster",
)
