"""The verbs of the stages, `ingest` to `publish`: one stage of a run."""

from argparse import Namespace

from pipeline.cli.parser import Parser
from pipeline.cli.run import add_request_arguments, run
from pipeline.config import reading
from pipeline.runs.request import RunRequest


def add_arguments(parser: Parser) -> None:
    """Add the verbs' arguments."""
    add_request_arguments(parser)


def execute(arguments: Namespace) -> None:
    """Run the stage."""
    request = RunRequest(
        first=arguments.verb,
        last=arguments.verb,
        # Only `publish` has --wait.
        wait=getattr(arguments, "wait", 0.0),
        run_id=arguments.run_id,
        date=arguments.date,
        wait_for_input=arguments.wait_for_input,
        assignments=tuple(arguments.assignments),
    )
    config = reading.load(arguments.config, arguments.assignments)
    run(request, config, as_json=arguments.json)
