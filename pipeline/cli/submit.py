"""The verb `submit`: run another verb by spark-submit."""

import argparse
import os
import shlex
import shutil
import sys
from argparse import Namespace
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

from pipeline.cli.parser import Parser, build_parser, sentence, wrap
from pipeline.cli.verbs import VERBS
from pipeline.cluster.submit import checks, exit_code
from pipeline.cluster.submit.command import (
    CLIENT,
    CLUSTER,
    IMAGE_CONFIG,
    Submission,
    command,
    target_of,
)
from pipeline.config import reading
from pipeline.errors import StageError, UsageError
from pipeline.spark import object_stores
from pipeline.terminal.output import print_lines

_NOTE = (
    "In client mode the exit code is that of the verb, in Kubernetes' cluster mode too; in YARN's "
    "it is 0 or 1, and run.json says more."
)


def add_arguments(parser: Parser) -> None:
    """Add the verb's arguments."""
    parser.usage = "nitamono submit --config FILE [OPTION ...] VERB [ARGUMENT ...]"
    parser.description = wrap(f"{sentence(VERBS['submit'].text)} {_NOTE}")
    parser.add_argument("--master", default="", metavar="MASTER",
                        help="local[N], spark://HOST:PORT, yarn or k8s://URL; default: [spark] "
                        "master, else local[*]")  # fmt: skip
    parser.add_argument("--deploy-mode", default="", choices=(CLIENT, CLUSTER),
                        help="where the driver runs; default: [spark] submit.deployMode, else "
                        "client (here)")  # fmt: skip
    parser.add_argument("--archive", default="", metavar="FILE",
                        help="the packed environment of `make package`, a file or an address; for "
                        "yarn and spark://")  # fmt: skip
    parser.add_argument("--image", default="", metavar="IMAGE",
                        help="the containers' image on Kubernetes; deploy/Dockerfile builds "
                        "it")  # fmt: skip
    parser.add_argument("--conf", action="append", default=[], metavar="NAME=VALUE",
                        help="a setting of Spark, which overrides [spark]; may be "
                        "repeated")  # fmt: skip
    parser.add_argument("--driver-config", default=IMAGE_CONFIG, metavar="FILE",
                        help="the config's path in the driver's pod in Kubernetes' cluster mode, "
                        "where a ConfigMap is mounted; default: %(default)s")  # fmt: skip
    parser.add_argument("--driver-python", default=sys.executable, metavar="FILE",
                        help="the Python that runs the driver in client mode; default: this "
                        "one")  # fmt: skip
    parser.add_argument("--entry", default="", metavar="FILE",
                        help="path of pipeline/cli/entry/nitamono.py where the driver runs; "
                        "default: this installation's, or the image's")  # fmt: skip
    parser.add_argument("--dry-run", action="store_true", help="print the command; run nothing")
    parser.add_argument("submitted", metavar="VERB", nargs=argparse.REMAINDER,
                        help="the verb to run, and its arguments")  # fmt: skip


def execute(arguments: Namespace) -> None:
    """Print the spark-submit command, or run it and end this process with its exit code.

    Raises:
        UsageError: the arguments or the config are wrong, or do not go together.
        StageError: there is no spark-submit, or it doesn't say how the driver ended.
    """
    submission = _submission(arguments)
    words = command(submission)
    if arguments.dry_run:
        print_lines([shlex.join(words)])
        return
    program = _find_program(words[0])
    target = target_of(submission)
    if target.manager == "k8s" and target.driver_is_remote:
        sys.exit(exit_code.run_and_wait([program, *words[1:]], submission.merged_conf))
    sys.stderr.flush()
    os.execv(program, words)  # noqa: S606 - it takes this process's place, signals and exit code


def _submission(arguments: Namespace) -> Submission:
    """The submission that the command line and the config describe."""
    words = arguments.submitted[arguments.submitted[:1] == ["--"] :]
    if not words or words[0] == "submit":
        raise UsageError("submit: name the verb to run; see nitamono submit --help")
    if any(word.partition("=")[0] == "--config" for word in words):
        raise UsageError(f"submit: give --config before {words[0]}")
    words += (text for change in arguments.assignments for text in ("--set", change))
    verb = build_parser().parse_args([*words, "--config", arguments.config])
    assignments = vars(verb).get("assignments", [])
    config = reading.load(arguments.config, assignments)
    submission = Submission(
        arguments=words,
        config=arguments.config,
        spark=config.spark,
        conf=dict(_spark_setting(text) for text in arguments.conf),
        master=arguments.master,
        deploy_mode=arguments.deploy_mode,
        archive=arguments.archive,
        image=arguments.image,
        entry=arguments.entry,
        driver_config=arguments.driver_config,
        driver_python=arguments.driver_python,
        environment=os.environ,
    )
    target = target_of(submission)
    if target.manager != "k8s":
        # Images have these jars. The stores' other settings the driver makes itself.
        submission = replace(
            submission, spark=config.spark | object_stores.package_settings(config)
        )
    if target.driver_is_remote:
        relative = reading.load(arguments.config, assignments, absolute_paths=False)
        checks.refuse_relative_paths(relative)
    if target.manager != "local":
        for name, path in checks.local_paths(config).items():
            sys.stderr.write(f"{name} = {path}: all hosts must have it under this path\n")
    return submission


def _spark_setting(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name.strip().startswith("spark."):
        raise UsageError(f"--conf {text}: write it as --conf spark.name=value")
    return name.strip(), value


def _find_program(name: str) -> str:
    """The spark-submit of SPARK_HOME; else of this environment; else of PATH.

    That of this environment would look for its Spark with the `python3` of PATH, which is another
    one where the environment is not activated: so SPARK_HOME is set for it.

    Raises:
        StageError: there is none.
    """
    home = os.environ.get("SPARK_HOME")
    own_folder = os.path.dirname(sys.executable)  # noqa: PTH120 - a link to Python is not followed
    folders = [os.path.join(home, "bin")] if home else [own_folder, os.environ.get("PATH", "")]  # noqa: PTH118
    program = shutil.which(name, path=os.pathsep.join(folders))
    if not program:
        raise StageError(f"no {name} in {os.pathsep.join(folders)}; set SPARK_HOME")
    own_spark = find_spec("pyspark")
    if os.path.dirname(program) == own_folder and own_spark and own_spark.origin:  # noqa: PTH120
        os.environ["SPARK_HOME"] = str(Path(own_spark.origin).parent)
    return program
