"""The verb `size`: Spark's settings from nodes, model and catalogue, and why."""

import argparse
import os
from pathlib import Path

from models import ModelError, fasttext
from models.cache import FOLDER_VARIABLE, LIMIT_VARIABLE
from models.disk import size as size_of
from models.fasttext import ModelSize
from pipeline.cli.verb import Verb, positive
from pipeline.cluster.sizing import cost, memory_size, plan, requirements
from pipeline.cluster.sizing.explanation import explain
from pipeline.cluster.sizing.memory_size import MIB
from pipeline.cluster.sizing.requirements import Requirements
from pipeline.cluster.sizing.result import SizingResult, as_json, conf_lines, submit_lines
from pipeline.cluster.sizing.warnings import find_warnings
from pipeline.config.sections import Config
from pipeline.errors import InputError, UsageError
from pipeline.stages.train import model_registry
from pipeline.store import model_folders
from pipeline.store.store import Store
from pipeline.terminal.output import print_json, print_lines

# On disk on nearly every Linux, where /tmp often is memory.
_CACHE = "/var/tmp/nitamono"  # noqa: S108 - a folder of nodes, not of this machine
_CACHED_MODELS = 3


def _arguments(parser: argparse.ArgumentParser) -> None:
    add_nodes(parser, required=True)
    parser.add_argument("--cluster", choices=("local", "standalone", "yarn", "kubernetes"),
                        default="standalone",
                        help="what runs the nodes; standalone if not given; "
                        "local: this one machine")  # fmt: skip
    parser.add_argument("--reserve", type=memory_size.argument, metavar="AMOUNT",
                        help="memory that a node keeps for its system; else 5%%, on Kubernetes "
                        "10%%, 1g at least")  # fmt: skip
    parser.add_argument("--items", type=positive, required=True, metavar="N",
                        help="items in the catalogue")  # fmt: skip
    parser.add_argument("--characters", type=positive, default=cost.CHARACTERS, metavar="N",
                        help="of an item's title and description, in the mean; "
                        f"{cost.CHARACTERS} if not given")  # fmt: skip
    parser.add_argument("--k", type=positive, metavar="K",
                        help="neighbours an item; else neighbors.k")  # fmt: skip
    parser.add_argument("--model", metavar="FILE",
                        help="a fastText model, packed or not, of which the header is read, or an "
                        "encoder's directory; else the config's")  # fmt: skip
    parser.add_argument("--words", type=positive, metavar="N", help="of a model that is not there")
    parser.add_argument("--buckets", type=int, metavar="N", help="its n-gram rows")
    parser.add_argument("--dim", type=positive, metavar="N",
                        help="length of its vectors; else model.dim")  # fmt: skip
    parser.add_argument("--cache", metavar="DIR",
                        help="folder of each node for models (NITAMONO_CACHE); "
                        f"{_CACHE} if not given")  # fmt: skip
    parser.add_argument("--format", choices=("conf", "json", "submit"), default="conf",
                        help="a properties file, JSON, or options of spark-submit")  # fmt: skip


def add_nodes(parser: argparse.ArgumentParser, *, required: bool) -> None:
    """Add what is said of nodes."""
    parser.add_argument("--node-cores", type=positive, required=required, metavar="N",
                        help="cores of a node")  # fmt: skip
    parser.add_argument("--node-memory", type=memory_size.argument, required=required,
                        metavar="AMOUNT", help="memory of a node, 64g for instance")  # fmt: skip
    parser.add_argument("--nodes", type=positive, default=1, metavar="N",
                        help="how many; 1 if not given")  # fmt: skip


def _do(given: argparse.Namespace, settings: Config) -> None:
    k = given.k or settings.neighbors.k
    settings = settings.model_copy(
        update={"neighbors": settings.neighbors.model_copy(update={"k": k})}
    )
    try:
        found = sized(given, settings)
    except ModelError as error:
        raise InputError(f"size: {error}") from error
    if given.json or given.format == "json":
        print_json(as_json(found))
    else:
        print_lines(conf_lines(found) if given.format == "conf" else submit_lines(found))


def sized(given: argparse.Namespace, settings: Config) -> SizingResult:
    """The plan for what the command line and the config say.

    Raises:
        UsageError: no model is named, or no plan fits.
        ModelError: the model can't be read.
    """
    if given.cluster == "local" and given.nodes > 1:
        raise UsageError(f"size: --cluster local is one machine, and --nodes is {given.nodes}")
    model, needs = _requirements(given, settings)
    node = plan.Node(given.node_cores, given.node_memory, given.nodes, given.cluster, given.reserve)
    made = plan.make_plan(node, needs)
    costs = cost.estimate(settings, given.items, needs, given.characters)
    told = settings.spark.get(f"spark.executorEnv.{FOLDER_VARIABLE}")
    cache = given.cache or told or os.environ.get(FOLDER_VARIABLE) or _CACHE
    limit = os.environ.get(LIMIT_VARIABLE) or f"{-int(-_CACHED_MODELS * needs.model * MIB // 1e9)}G"
    return SizingResult(
        items=given.items,
        k=settings.neighbors.k,
        model=model,
        plan=made,
        cost=costs,
        conf=plan.spark_conf(made, settings, costs, cache, limit),
        reasons=explain(made, costs, cache, plan.sample_mib(settings, made, costs)),
        warnings=find_warnings(made, settings.spark, Path(cache)),
    )


def _requirements(
    given: argparse.Namespace, settings: Config
) -> tuple[ModelSize | None, Requirements]:
    if given.words:
        if given.model:
            raise UsageError("size: give --model FILE, or --words and --buckets, not both")
        rows = _rows(given, settings)
        dim = given.dim or settings.model.dim
        size = fasttext.estimate_size(given.words, rows, dim, float16=settings.model.float16)
        return size, requirements.for_fasttext(settings, size, given.items)
    path = Path(given.model) if given.model else _of_config(given, settings)
    if path.is_dir():
        if not given.dim:
            raise UsageError(f"size: {path} is an encoder's directory: say --dim of its vectors")
        return None, requirements.for_encoder(settings, size_of(path), given.dim, given.items)
    size = fasttext.size_of_file(path, float16=settings.model.float16)
    return size, requirements.for_fasttext(settings, size, given.items)


def _rows(given: argparse.Namespace, settings: Config) -> int:
    if settings.model.maxn == 0:
        return 0
    rows = settings.model.bucket if given.buckets is None else given.buckets
    return int(rows) or min(2_000_000, max(10_000, 20 * given.words))


def _of_config(given: argparse.Namespace, settings: Config) -> Path:
    """The model that the config names, or its store's current one."""
    how = "give --model FILE, or --words N and --buckets N"
    if given.config is None:
        raise UsageError(f"size: {how}, or --config FILE of a store that has a model")
    if "://" in settings.model.path:
        raise UsageError(f"size: {settings.model.path} is not on this machine: {how}")
    if settings.model.path:
        return Path(settings.model.path)
    try:
        store = Store.of(settings, make=False)
        record = model_registry.current(settings, store)
        kind = str(record.outputs["kind"])
        return model_folders.local_file(store.model_file(record), kind)
    except UsageError as error:
        raise UsageError(f"size: {error}; or {how}") from error


SIZE = Verb(
    "size",
    "say how to set up Spark for a catalogue on given nodes, and why",
    "--node-cores 16 --node-memory 64g --nodes 10 --items 300000000",
    _arguments,
    _do,
    needs_config=False,
    group="cluster",
)
