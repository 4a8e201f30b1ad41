"""The verb `size`: Spark's config from nodes, model and catalogue, and why."""

import os
from argparse import Namespace
from pathlib import Path

from models import ModelError, fasttext
from models.cache import FOLDER_VARIABLE, LIMIT_VARIABLE
from models.disk import size as size_of
from models.fasttext import ModelSize
from pipeline.cli.argument_types import positive
from pipeline.cli.node_arguments import add_nodes
from pipeline.cli.parser import Parser
from pipeline.cluster.sizing import cost, memory_size, plan, requirements
from pipeline.cluster.sizing.explanation import explain
from pipeline.cluster.sizing.memory_size import MIB
from pipeline.cluster.sizing.requirements import Requirements
from pipeline.cluster.sizing.result import SizingResult, as_json, conf_lines, submit_lines
from pipeline.cluster.sizing.warnings import find_warnings
from pipeline.cluster.sizing.work import plan_work
from pipeline.config import reading
from pipeline.config.sections import Config
from pipeline.errors import InputError, UsageError
from pipeline.stages.train import model_registry
from pipeline.store import model_folders
from pipeline.store.store import Store
from pipeline.terminal.output import print_json, print_lines

# On disk on nearly every Linux, where /tmp often is memory.
_CACHE = "/var/tmp/nitamono"  # noqa: S108 - a folder of nodes, not of this machine
_CACHED_MODELS = 3


def add_arguments(parser: Parser) -> None:
    """Add the verb's arguments."""
    add_nodes(parser)
    parser.add_argument("--cluster", choices=("local", "standalone", "yarn", "kubernetes"),
                        default="standalone",
                        help="the cluster's manager; local is this one machine; "
                        "default: standalone")  # fmt: skip
    parser.add_argument("--reserve", type=memory_size.argument, metavar="AMOUNT",
                        help="memory that a node keeps for its system; default: 5%%, on "
                        "Kubernetes 10%%, 1g at least")  # fmt: skip
    parser.add_argument("--items", type=positive, required=True, metavar="N",
                        help="number of items in the catalogue")  # fmt: skip
    parser.add_argument("--characters", type=positive, default=cost.CHARACTERS, metavar="N",
                        help="mean length of an item's title and description; "
                        f"default: {cost.CHARACTERS}")  # fmt: skip
    parser.add_argument("--k", type=positive, metavar="K",
                        help="neighbours of an item; default: neighbors.k")  # fmt: skip
    parser.add_argument("--model", metavar="FILE",
                        help="a fastText model, packed or not (only its header is read), or an "
                        "encoder's directory; default: the config's")  # fmt: skip
    parser.add_argument(
        "--words", type=positive, metavar="N", help="words of a model that is still to be trained"
    )
    parser.add_argument("--buckets", type=int, metavar="N", help="n-gram rows of that model")
    parser.add_argument("--dim", type=positive, metavar="N",
                        help="length of the model's vectors; default: model.dim")  # fmt: skip
    parser.add_argument("--cache", metavar="DIR",
                        help="each node's folder for models (NITAMONO_CACHE); "
                        f"default: {_CACHE}")  # fmt: skip
    parser.add_argument("--format", choices=("conf", "json", "submit"), default="conf",
                        help="print a properties file (the default), JSON, or options of "
                        "spark-submit")  # fmt: skip


def execute(arguments: Namespace) -> None:
    """Print the settings of Spark, and why they are so."""
    if arguments.config is None:
        config = reading.defaults(arguments.assignments)
    else:
        config = reading.load(arguments.config, arguments.assignments)
    k = arguments.k or config.neighbors.k
    config = config.model_copy(update={"neighbors": config.neighbors.model_copy(update={"k": k})})
    try:
        result = _result(arguments, config)
    except ModelError as error:
        raise InputError(f"size: {error}") from error
    if arguments.json or arguments.format == "json":
        print_json(as_json(result))
    else:
        print_lines(conf_lines(result) if arguments.format == "conf" else submit_lines(result))


def _result(arguments: Namespace, config: Config) -> SizingResult:
    """Plan Spark's settings for the arguments and the config.

    Raises:
        UsageError: no model is named, or no plan fits.
        ModelError: the model can't be read.
    """
    if arguments.cluster == "local" and arguments.nodes > 1:
        raise UsageError(f"size: --cluster local is one machine, and --nodes is {arguments.nodes}")
    model, needs = _requirements(arguments, config)
    node = plan.Node(
        arguments.node_cores,
        arguments.node_memory,
        arguments.nodes,
        arguments.cluster,
        arguments.reserve,
    )
    spark_plan = plan.make_plan(node, needs)
    costs = cost.estimate(config, arguments.items, needs, arguments.characters)
    conf_cache = config.spark.get(f"spark.executorEnv.{FOLDER_VARIABLE}")
    cache = arguments.cache or conf_cache or os.environ.get(FOLDER_VARIABLE) or _CACHE
    limit = os.environ.get(LIMIT_VARIABLE) or f"{-int(-_CACHED_MODELS * needs.model * MIB // 1e9)}G"
    return SizingResult(
        items=arguments.items,
        k=config.neighbors.k,
        model=model,
        plan=spark_plan,
        cost=costs,
        work=plan_work(config, arguments.items, needs, costs, spark_plan.tasks * node.count),
        conf=plan.spark_conf(spark_plan, config, costs, cache, limit),
        reasons=explain(spark_plan, costs, cache, plan.training_mib(config, spark_plan, costs)),
        warnings=find_warnings(spark_plan, config.spark, Path(cache)),
    )


def _requirements(arguments: Namespace, config: Config) -> tuple[ModelSize | None, Requirements]:
    if arguments.words:
        if arguments.model:
            raise UsageError("size: give --model FILE, or --words and --buckets, not both")
        rows = requirements.ngram_rows(config, arguments.words, arguments.buckets)
        dim = arguments.dim or config.model.dim
        size = fasttext.estimate_size(arguments.words, rows, dim, float16=config.model.float16)
        return size, requirements.for_fasttext(config, size, arguments.items)
    path = Path(arguments.model) if arguments.model else _model_of_config(arguments, config)
    if config.model.kind == "static":
        try:
            return None, requirements.for_static(config, path, arguments.items)
        except ModelError as error:
            raise UsageError(f"size: {error}") from error
    if path.is_dir():
        if not arguments.dim:
            raise UsageError(f"size: {path} is an encoder's directory: say --dim of its vectors")
        return None, requirements.for_encoder(config, size_of(path), arguments.dim, arguments.items)
    size = fasttext.size_of_file(path, float16=config.model.float16)
    return size, requirements.for_fasttext(config, size, arguments.items)


def _model_of_config(arguments: Namespace, config: Config) -> Path:
    """The model file that the config names, or that of its store's current model."""
    advice = "give --model FILE, or --words N and --buckets N"
    if arguments.config is None:
        raise UsageError(f"size: {advice}, or --config FILE of a store that has a model")
    if "://" in config.model.path:
        raise UsageError(f"size: {config.model.path} is not on this machine: {advice}")
    if config.model.path:
        return Path(config.model.path)
    try:
        store = Store.of(config, make=False)
        record = model_registry.current_model(config, store)
        kind = str(record.outputs["kind"])
        return model_folders.local_file(store.models.file(record), kind)
    except UsageError as error:
        raise UsageError(f"size: {error}; or {advice}") from error
