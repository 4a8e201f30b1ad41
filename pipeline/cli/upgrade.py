"""The verb `upgrade`: give a store that an earlier nitamono made the present format."""

from argparse import Namespace
from collections.abc import Iterator

from pipeline.cli.parser import Parser
from pipeline.config import reading
from pipeline.storage.paths import relative_to
from pipeline.store import lock, store_format, upgrade
from pipeline.store.store import Store
from pipeline.store.upgrade import Step
from pipeline.terminal.output import print_json, print_lines


def add_arguments(parser: Parser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("--dry-run", action="store_true",
                        help="print what would be written; write nothing")  # fmt: skip


def execute(arguments: Namespace) -> None:
    """Upgrade the store, or only say what there is to do."""
    store = Store.of(reading.load(arguments.config, arguments.assignments), make=False)
    if arguments.dry_run:
        steps = list(_shown(upgrade.find_steps(store), store, arguments))
    else:
        with lock.hold_store(store, "nitamono upgrade", wait=arguments.wait):
            steps = list(_shown(_executed(store), store, arguments))
    if arguments.json:
        content = {"dry_run": arguments.dry_run, "format": store_format.FORMAT, "steps": steps}
        print_json(content | {"format_before": store.format})
    elif not steps:
        print_lines([f"nothing to do: the store has format {store.format}"])


def _executed(store: Store) -> Iterator[Step]:
    for step in upgrade.find_steps(store):
        if step.execute() is not False:
            yield step


def _shown(steps: Iterator[Step], store: Store, arguments: Namespace) -> Iterator[dict[str, str]]:
    """Print each step, as soon as it is done, unless JSON is asked for."""
    for step in steps:
        path = relative_to(step.path, store.root)
        if not arguments.json:
            print_lines([f"{path}: {step.text}"])
        yield {"path": str(path), "text": step.text}
