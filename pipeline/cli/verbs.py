"""The verbs of the command line: their names, texts and examples.

The module of a verb is imported when the verb is used, so that the command starts quickly.
"""

from argparse import Namespace
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Literal, Protocol, cast

if TYPE_CHECKING:
    from pipeline.cli.parser import Parser

# Titles of the groups of verbs, in the order of the command's help.
GROUPS = {
    "make": "make the table",
    "look": "look at it",
    "keep": "keep the store",
    "cluster": "clusters",
    "shell": "the shell",
}


class VerbModule(Protocol):
    """The module of a verb."""

    def add_arguments(self, parser: "Parser") -> None:
        """Add the verb's own arguments to its parser."""

    def execute(self, arguments: Namespace) -> None:
        """Execute the verb and print its results.

        Raises:
            NitamonoError: with what went wrong and what to do.
        """


@dataclass(frozen=True)
class Verb:
    """A verb of the command line.

    Attributes:
        name: the verb, as it is typed.
        group: one of GROUPS.
        text: what the verb does, in one line.
        example: arguments for the example in its help, after --config.
        module: name of its module in pipeline.cli; empty if it is the verb's name.
        config: whether --config and --set exist, and whether --config is required.
        json: whether --json exists.
        wait: whether --wait exists.
        log: whether --log exists.
    """

    name: str
    group: str
    text: str
    example: str = ""
    module: str = ""
    config: Literal["required", "optional", "none"] = "required"
    json: bool = True
    wait: bool = False
    log: bool = True

    def load(self) -> VerbModule:
        """Import the verb's module."""
        return cast("VerbModule", import_module(f"pipeline.cli.{self.module or self.name}"))


_ALL = (
    Verb("run", "make", "run every stage that is not done yet, and publish the table",
         "--run-id night1", wait=True),
    Verb("ingest", "make", "read the catalogue; good rows become items, bad ones go to quarantine",
         "--set catalogue.path=items.csv", module="stage"),
    Verb("tokenize", "make", "clean the items' text and cut it into tokens",
         "--set text.split_mode=A", module="stage"),
    Verb("train", "make", "train the model on the tokens, or take the one given as model.path",
         "--set model.dim=200", module="stage"),
    Verb("embed", "make", "give every item a vector",
         "--set embed.method=mean", module="stage"),
    Verb("index", "make", "cut the vectors into lists",
         "--set index.nlist=500", module="stage"),
    Verb("neighbors", "make", "find each item's nearest others, and measure recall",
         "--set neighbors.k=20", module="stage"),
    Verb("publish", "make", "write the similar-item table, check it, and point LATEST at it",
         "--wait 600", module="stage", wait=True),
    Verb("profile", "look",
         "say what the catalogue has, and suggest what [expect] should demand of it"),
    Verb("runs", "look", "list the runs, the newest first", "--last 30"),
    Verb("diff", "look", "compare the similar-item tables of two runs or versions",
         "RUN LATEST --k 5"),
    Verb("report", "look", "write the page of a run again, report.html, or that of the store",
         "LATEST --out report.html"),
    Verb("inspect", "look",
         "look at one item: its tokens, its neighbours and why, and what rules removed",
         "SKU-00332 --why-not SKU-01000"),
    Verb("query", "look",
         "find the neighbours of a text that is in no catalogue, from the published version",
         '--title "ワイヤレスイヤホン 防水 ブラック"'),
    Verb("export", "look",
         "copy the published table into PostgreSQL, redis, or files of JSON Lines",
         "--to postgres://shop@db.example/shop"),
    Verb("evaluate", "look",
         "measure neighbours by labels, pairs or judgements, and compare methods and configs",
         "--label category --set model.dim=200"),
    Verb("rollback", "keep", "publish the version before the present one again, or a named one",
         wait=True),
    Verb("gc", "keep", "delete what no published version and no unfinished run needs",
         "--keep 3 --dry-run", wait=True),
    Verb("upgrade", "keep", "give a store that an earlier nitamono made the present format",
         "--dry-run", wait=True),
    Verb("check", "keep", "read all that the published version needs, and say what is damaged"),
    Verb("model", "keep", "pack a model, look at models, copy them", config="none", json=False,
         log=False),
    Verb("doctor", "keep", "say whether a first night has what it needs, and what to do if not"),
    Verb("size", "cluster",
         "compute Spark's settings for a catalogue and given nodes, and explain them",
         "--node-cores 16 --node-memory 64g --nodes 10 --items 300000000", config="optional"),
    Verb("tune", "cluster",
         "try executors of several sizes on the cluster, and write the best settings",
         "--node-cores 16 --node-memory 60g --nodes 10"),
    Verb("submit", "cluster", "run another verb by spark-submit, here or on a cluster",
         "--master yarn --archive dist/environment.tar.gz --dry-run run --run-id night1",
         json=False, log=False),
    Verb("completion", "shell", "print a script for the shell to complete nitamono's arguments",
         "bash", config="none", json=False, log=False),
)  # fmt: skip
VERBS = {verb.name: verb for verb in _ALL}
