"""The verb `submit`: its arguments, its dry run, and the end of what it started."""

import argparse
import os
import shlex
import shutil
import sys
from dataclasses import replace
from typing import Any

from pipeline.cluster.submit import checks, exit_code
from pipeline.cluster.submit.command import (
    CLIENT,
    CLUSTER,
    IMAGE_CONFIG,
    Submission,
    command,
    target,
)
from pipeline.config import reading as config
from pipeline.errors import StageError, UsageError
from pipeline.spark import s3a
from pipeline.terminal.output import print_lines

NAME = "submit"
_TEXT = "run another verb by spark-submit, here or on a cluster"
_DESCRIPTION = (
    f"{_TEXT[0].upper()}{_TEXT[1:]}. In client mode the exit code is that of the verb, in "
    "Kubernetes' cluster mode too; in YARN's it is 0 or 1, and run.json says more."
)
_EXAMPLE = (
    "example: nitamono submit --config nitamono.toml --master yarn --archive "
    "dist/environment.tar.gz --dry-run run --run-id night1"
)


def add(verbs: Any) -> None:  # noqa: ANN401 - argparse's subparsers
    """Add the verb to the command's parser."""
    verb = verbs.add_parser(
        NAME,
        help=_TEXT,
        description=_DESCRIPTION,
        epilog=_EXAMPLE,
        usage="nitamono submit --config FILE [OPTION ...] VERB [ARGUMENT ...]",
    )
    verb.add_argument("--config", required=True, metavar="FILE", help="the config, a TOML file")
    verb.add_argument("--set", dest="assignments", action="append", default=[],
                      metavar="SECTION.KEY=VALUE",
                      help="change a setting; may be repeated")  # fmt: skip
    verb.add_argument("--master", default="", metavar="MASTER",
                      help="local[N], spark://HOST:PORT, yarn or k8s://URL; else [spark] master, "
                      "else local[*]")  # fmt: skip
    verb.add_argument("--deploy-mode", default="", choices=(CLIENT, CLUSTER),
                      help="where the driver runs; else [spark] submit.deployMode, else client "
                      "(here)")  # fmt: skip
    verb.add_argument("--archive", default="", metavar="FILE",
                      help="the packed environment of `make package`, a file or an address; for "
                      "yarn and spark://")  # fmt: skip
    verb.add_argument("--image", default="", metavar="IMAGE",
                      help="of the containers on Kubernetes; deploy/Dockerfile builds "
                      "it")  # fmt: skip
    verb.add_argument("--conf", action="append", default=[], metavar="NAME=VALUE",
                      help="a setting of Spark's; comes before [spark]; may be "
                      "repeated")  # fmt: skip
    verb.add_argument("--driver-config", default=IMAGE_CONFIG, metavar="FILE",
                      help="where the driver's pod has the config in Kubernetes' cluster mode: "
                      "a ConfigMap, else %(default)s")  # fmt: skip
    verb.add_argument("--driver-python", default=sys.executable, metavar="FILE",
                      help="that runs the driver in client mode; else this one")  # fmt: skip
    verb.add_argument("--entry", default="", metavar="FILE",
                      help="pipeline/cli/entry/nitamono.py where the driver runs; else this "
                      "installation's, or the image's")  # fmt: skip
    verb.add_argument("--dry-run", action="store_true", help="print the command, and no more")
    verb.add_argument("submitted", metavar="VERB", nargs=argparse.REMAINDER,
                      help="the verb to run, and its arguments")  # fmt: skip


def execute(given: argparse.Namespace, parser: argparse.ArgumentParser) -> None:
    """Print the command, or run it; then this process ends with its exit code.

    Args:
        given: what the command line says.
        parser: of nitamono's command line, for the verb's own arguments.

    Raises:
        UsageError: of the arguments, the config, or what does not go together.
        StageError: there is no spark-submit, or it doesn't say how the driver ended.
    """
    asked = _submission(given, parser)
    line = command(asked)
    if given.dry_run:
        print_lines([shlex.join(line)])
        return
    program = _program(line[0])
    to = target(asked)
    if to.manager == "k8s" and to.cluster:
        sys.exit(exit_code.of_driver([program, *line[1:]], asked.said))
    sys.stderr.flush()
    os.execv(program, line)  # noqa: S606 - it takes this process's place, signals and exit code


def _submission(given: argparse.Namespace, parser: argparse.ArgumentParser) -> Submission:
    words = given.submitted[given.submitted[:1] == ["--"] :]
    if not words or words[0] == NAME:
        raise UsageError("submit: name the verb to run; see nitamono submit --help")
    if any(word.partition("=")[0] == "--config" for word in words):
        raise UsageError(f"submit: give --config before {words[0]}")
    arguments = [*words, *(text for change in given.assignments for text in ("--set", change))]
    verb = parser.parse_args([*arguments, "--config", given.config])
    assignments = vars(verb).get("assignments", [])
    settings = config.load(given.config, assignments)
    asked = Submission(
        arguments=arguments,
        config=given.config,
        spark=settings.spark,
        conf=dict(_setting(text) for text in given.conf),
        master=given.master,
        deploy_mode=given.deploy_mode,
        archive=given.archive,
        image=given.image,
        entry=given.entry,
        driver_config=given.driver_config,
        driver_python=given.driver_python,
        environment=os.environ,
    )
    to = target(asked)
    if to.manager != "k8s":
        # Images have these jars. The other settings of s3a:// the driver makes itself.
        asked = replace(asked, spark=settings.spark | s3a.fetched(settings))
    if to.cluster:
        checks.no_relative_paths(config.load(given.config, assignments, absolute_paths=False))
    if to.manager != "local":
        for name, path in checks.local_paths(settings).items():
            sys.stderr.write(f"{name} = {path}: all hosts must have it under this path\n")
    return asked


def _setting(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name.strip().startswith("spark."):
        raise UsageError(f"--conf {text}: write it as --conf spark.name=value")
    return name.strip(), value


def _program(name: str) -> str:
    """The spark-submit of SPARK_HOME; else of this environment; else of PATH.

    Raises:
        StageError: there is none.
    """
    home = os.environ.get("SPARK_HOME")
    beside = os.path.dirname(sys.executable)  # noqa: PTH120 - a link to Python is not followed
    folders = [os.path.join(home, "bin")] if home else [beside, os.environ.get("PATH", "")]  # noqa: PTH118
    found = shutil.which(name, path=os.pathsep.join(folders))
    if not found:
        raise StageError(f"no {name} in {os.pathsep.join(folders)}; set SPARK_HOME")
    return found
