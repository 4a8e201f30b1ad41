"""The arguments that describe a cluster's nodes, which `size` and `tune` share."""

from pipeline.cli.argument_types import positive
from pipeline.cli.parser import Parser
from pipeline.cluster.sizing import memory_size


def add_nodes(parser: Parser) -> None:
    """Add --node-cores, --node-memory and --nodes."""
    parser.add_argument("--node-cores", type=positive, required=True, metavar="N",
                        help="cores of a node")  # fmt: skip
    parser.add_argument("--node-memory", type=memory_size.argument, required=True, metavar="AMOUNT",
                        help="memory of a node, for instance 64g")  # fmt: skip
    parser.add_argument("--nodes", type=positive, default=1, metavar="N",
                        help="number of nodes; default: 1")  # fmt: skip
