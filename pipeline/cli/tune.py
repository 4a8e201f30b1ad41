"""The verb `tune`: find by trial the executors that embed fastest on a cluster."""

from argparse import Namespace
from pathlib import Path

from pipeline.cli.argument_types import positive, seconds
from pipeline.cli.node_arguments import add_nodes
from pipeline.cli.parser import Parser
from pipeline.cluster.tuning.result import as_json, rows
from pipeline.cluster.tuning.tune import TuningOptions, tune
from pipeline.config import reading
from pipeline.terminal.output import print_json, print_lines, table
from pipeline.terminal.progress import Progress

_SAMPLE, _TIMEOUT = 200_000, 1800.0


def add_arguments(parser: Parser) -> None:
    """Add the verb's arguments."""
    add_nodes(parser)
    parser.add_argument("--sample", type=positive, default=_SAMPLE, metavar="N",
                        help="embed about N items in each trial; "
                        f"default: {_SAMPLE:,}")  # fmt: skip
    parser.add_argument("--timeout", type=seconds, default=_TIMEOUT, metavar="SECONDS",
                        help="a trial that takes longer counts as failed; "
                        f"default: {_TIMEOUT:.0f}")  # fmt: skip
    parser.add_argument("--out", type=Path, metavar="FILE",
                        help="write the best settings to this file; default: in the run's "
                        "folder")  # fmt: skip


def execute(arguments: Namespace) -> None:
    """Try the executors and print a table of the trials."""
    config = reading.load(arguments.config, arguments.assignments)
    options = TuningOptions(
        cores=arguments.node_cores,
        memory=arguments.node_memory,
        nodes=arguments.nodes,
        sample=arguments.sample,
        timeout=arguments.timeout,
        out=arguments.out,
    )
    result = tune(config, options, Progress())
    if arguments.json:
        print_json(as_json(result))
        return
    head = ["executors a node", "cores", "memory", "seconds", "items/s", ""]
    print_lines(table(head, rows(result), right="cores memory seconds items/s"))
    print_lines([f"config  {result.conf}", f"curve     {result.page}"])
