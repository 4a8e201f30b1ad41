"""The verb `run`: the stages that are not done yet, and publishing."""

from argparse import Namespace
from dataclasses import asdict

from pipeline.cli.argument_types import seconds
from pipeline.cli.parser import Parser
from pipeline.config import reading
from pipeline.config.sections import Config
from pipeline.runs import summary
from pipeline.runs.request import RunRequest
from pipeline.stages import NAMES
from pipeline.store.store import Store
from pipeline.terminal.output import print_json, print_lines
from pipeline.terminal.progress import Progress


def add_arguments(parser: Parser) -> None:
    """Add the verb's arguments."""
    add_request_arguments(parser)
    parser.add_argument("--from", dest="first", choices=NAMES, default=NAMES[0], metavar="STAGE",
                        help="start with this stage; those before it must be done")  # fmt: skip
    parser.add_argument("--to", dest="last", choices=NAMES, default=NAMES[-1], metavar="STAGE",
                        help="stop after this stage")  # fmt: skip
    parser.add_argument(
        "--dry-run", action="store_true", help="print what would run, and why; run nothing"
    )
    parser.add_argument("--retrain", action="store_true",
                        help="train a new model instead of using the store's current "
                        "one")  # fmt: skip
    parser.add_argument("--full", action="store_true",
                        help="do not build on an earlier run's tables; model and quantiser "
                        "stay")  # fmt: skip
    parser.add_argument("--publish", action="store_true",
                        help="move LATEST to this run's table, also after --set, --as-of or "
                        "publish.publish = false")  # fmt: skip
    parser.add_argument("--as-of", default="", metavar="RUN",
                        help="use the catalogue and the model of that run")  # fmt: skip


def add_request_arguments(parser: Parser) -> None:
    """Add --run-id, and which night's catalogue is read."""
    parser.add_argument("--run-id", default="", metavar="NAME",
                        help="the run's name; default: the time of its start")  # fmt: skip
    parser.add_argument("--date", default="", metavar="DATE",
                        help="the night that {date} in catalogue.path or .query stands for, "
                        "YYYY-MM-DD; default: today")  # fmt: skip
    parser.add_argument("--wait-for-input", type=seconds, default=0.0, metavar="SECONDS",
                        help="wait for a catalogue that is not there or not complete; 0, the "
                        "default: stop at once")  # fmt: skip


def execute(arguments: Namespace) -> None:
    """Run the stages, or say what would run."""
    config = reading.load(arguments.config, arguments.assignments)
    request = RunRequest(
        first=arguments.first,
        last=arguments.last,
        publish=arguments.publish,
        retrain=arguments.retrain,
        full=arguments.full,
        as_of=arguments.as_of,
        wait=arguments.wait,
        run_id=arguments.run_id,
        date=arguments.date,
        wait_for_input=arguments.wait_for_input,
        assignments=tuple(arguments.assignments),
    )
    if arguments.dry_run:
        _print_plan(request, config, as_json=arguments.json)
    else:
        run(request, config, as_json=arguments.json)


def run(request: RunRequest, config: Config, *, as_json: bool) -> None:
    """Run stages and print what came out."""
    outcome, store = request.run(config, Progress()), Store.of(config)
    if as_json:
        print_json(asdict(summary.result(store, outcome)))
    elif request.last == NAMES[-1]:
        print_lines(summary.run_lines(store, outcome))
    else:
        print_lines(summary.stage_lines(store, outcome, request.last))


def _print_plan(request: RunRequest, config: Config, *, as_json: bool) -> None:
    plan, publishes = request.plan(config), request.publishes(config)
    if as_json:
        stages = [
            {"stage": name, "action": reason.split(":")[0].split()[0], "why": reason}
            for name, reason in plan
        ]
        print_json({"stages": stages, "publishes": publishes})
        return
    print_lines(f"{name:<10}  {reason}" for name, reason in plan)
    print_lines([f"{'LATEST':<10}  {'would move, if the gate agrees' if publishes else 'stays'}"])
