"""What the driver's host must have: Java, Python's packages, the cache of models, credentials."""

import os
import platform
import re
import shutil
import subprocess
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

from models import ModelError, static
from models.cache import Cache
from models.stores.address import AZURE_SCHEMES, GCS_SCHEME, S3_SCHEMES, Address
from models.stores.azure import KEY_VARIABLE
from pipeline import __version__
from pipeline.cluster.doctor.finding import BAD, OK, Findings, recorded
from pipeline.cluster.sizing.memory_size import MIB, readable
from pipeline.config.sections import Config
from pipeline.config.sections.locations import ENVIRONMENT_NAME
from pipeline.errors import StageError, UsageError
from pipeline.spark.java import find_java
from pipeline.storage.paths import is_remote

_MIN_JAVA = 17
# Spark does not start without it; trimmed Java packages lack it.
_JAVA_MODULE = "jdk.incubator.vector"
_LIBRARIES = ("pyspark", "pyarrow", "numpy", "pandas", "sudachipy", "fasttext-community")
_SECONDS = 60


def check(config: Config) -> Findings:
    """What the host has, of what the config needs."""
    findings: Findings = []
    with recorded(findings, "java") as say:
        say(_java())
    with recorded(findings, "versions") as say:
        versions = ", ".join(f"{name} {metadata.version(name)}" for name in _LIBRARIES)
        say(f"nitamono {__version__}, Python {platform.python_version()}, {versions}")
    with recorded(findings, "packages") as say:
        say(_packages(config))
    with recorded(findings, "credentials") as say:
        say(_credentials(config))
    with recorded(findings, "receivers") as say:
        say(_receivers(config))
    return findings


def _java() -> str:
    """The version of Java.

    Raises:
        StageError: there is none, or Spark can't use it.
    """
    java = find_java()

    def ask(option: str) -> str:
        done = subprocess.run(  # noqa: S603 - the Java that Spark would start
            [java, option], capture_output=True, text=True, check=False, timeout=_SECONDS
        )
        return done.stdout + done.stderr

    found = re.search(r'version "(\d+)[^"]*"', ask("-version"))
    if not found or int(found[1]) < _MIN_JAVA:
        what = found[0] if found else "does not say its version"
        raise StageError(
            f"{java}: {what}; Spark needs Java {_MIN_JAVA} or later: install it, and set JAVA_HOME"
        )
    if _JAVA_MODULE not in ask("--list-modules"):
        raise StageError(
            f"{java}: lacks the module {_JAVA_MODULE}, without which Spark does not start; install "
            "a whole JDK"
        )
    return f"{found[0]}, {java}"


def _packages(config: Config) -> str:
    """The extra packages that the config needs.

    Raises:
        UsageError: some are missing.
    """
    schemes = {Address.parse(path).scheme for path in paths(config) if is_remote(path)}
    dictionary = config.text.dictionary
    needed = {
        "static": ("tokenizers", config.model.kind == "static" and _has_tokenizer(config)),
        "onnx": ("onnxruntime", config.model.kind == "onnx"),
        "stores": ("obstore", not schemes <= set(S3_SCHEMES)),
        "dictionaries": (f"sudachidict_{dictionary}", dictionary != "core"),
    }
    wanted = {extra: module for extra, (module, is_needed) in needed.items() if is_needed}
    missing = [extra for extra, module in wanted.items() if find_spec(module) is None]
    if missing:
        raise UsageError(
            f"{', '.join(wanted[extra] for extra in missing)} missing: "
            f"pip install 'nitamono[{','.join(missing)}]'"
        )
    return f"{', '.join(wanted.values())} installed" if wanted else "no extra one is needed"


def _has_tokenizer(config: Config) -> bool:
    """Whether a static model of this host reads text; one of an object store may."""
    try:
        packed = static.find_packed(config.model.path)
        return packed is None or static.has_tokenizer(packed)
    except ModelError:
        return True


def paths(config: Config) -> list[str]:
    """The paths of the config that the driver reads."""
    section = config.catalogue
    catalogue, model = section.path if section.uses_files else "", config.model
    named = (config.store.path, catalogue, model.path, model.pretrained, model.distilled)
    return [path for path in (*named, config.rules.deny, config.edits.path) if path]


def _credentials(config: Config) -> str:
    """Where credentials come from; their values are looked at by nobody.

    Raises:
        UsageError: some are missing.
    """
    variables = {
        name
        for text in config.catalogue.options.values()
        for name in ENVIRONMENT_NAME.findall(text)
    }
    receivers = (config.metrics.authorization_env, config.lineage.authorization_env)
    variables |= {*receivers, *(notice.url_env for notice in config.notify)} - {""}
    present = {name for name in variables if os.environ.get(name, "").strip()}
    problems = [f"the environment variable {n} is not set" for n in sorted(variables - present)]
    found = [f"the variable {name}" for name in sorted(present)]
    schemes = {Address.parse(path).scheme for path in paths(config) if is_remote(path)}
    for names, find, advice in (
        (S3_SCHEMES, _of_s3, "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, "
         "s3.profile, or give the host a role"),
        ((GCS_SCHEME,), _of_gcs, "set GOOGLE_APPLICATION_CREDENTIALS to a file that exists"),
        (AZURE_SCHEMES, _of_azure, f"set {KEY_VARIABLE}, or AZURE_CLIENT_ID and what belongs to "
         "it"),
    ):  # fmt: skip
        if not schemes.intersection(names):
            continue
        if where := find(config):
            found.append(f"{names[0]}:// by {where}")
        else:
            problems.append(f"none for {names[0]}://: {advice}")
    if problems:
        raise UsageError("; ".join(problems))
    return f"found: {', '.join(found)}" if found else "none are needed"


def _receivers(config: Config) -> str:
    """Whether the files and programs of this host that are told of runs can be used.

    Raises:
        UsageError: some can't.
    """
    files = {"metrics.textfile": config.metrics.textfile, "lineage.file": config.lineage.file}
    folders = {setting: Path(file).parent for setting, file in files.items() if file}
    programs = {notice.command[0] for notice in config.notify if notice.command}
    problems = [
        f"{setting}: {folder} is no folder that can be written to: make it, or name another"
        for setting, folder in folders.items()
        if not (folder.is_dir() and os.access(folder, os.W_OK))
    ]
    problems += [
        f"notify.command: {name} is no program of this host: install it, or name another"
        for name in sorted(programs)
        if shutil.which(name) is None
    ]
    if problems:
        raise UsageError("; ".join(problems))
    found = [*folders, *sorted(programs)]
    return f"present: {', '.join(found)}" if found else "none on this host"


def _of_s3(config: Config) -> str:
    """How boto3 gets its credentials; empty if it finds none."""
    import boto3
    from botocore.exceptions import BotoCoreError

    try:
        credentials = boto3.Session(profile_name=config.s3.profile or None).get_credentials()
    except BotoCoreError:  # the profile is unknown
        return ""
    return str(credentials.method) if credentials else ""


def _of_gcs(_: Config) -> str:
    name = "GOOGLE_APPLICATION_CREDENTIALS"
    file = os.environ.get(name)
    if file:
        return f"the file of {name}" if Path(file).is_file() else ""
    # Whether the host has a role, only a request can tell: that of the store is one.
    return "the host's role, if it has one"


def _of_azure(_: Config) -> str:
    name = next((n for n in (KEY_VARIABLE, "AZURE_CLIENT_ID") if os.environ.get(n)), "")
    return f"the variable {name}" if name else "the host's identity, if it has one"


def cache_room(needed: float) -> tuple[str, str]:
    """The state of this host's cache of models, and what it has; executors run this too.

    Args:
        needed: size of the model, MiB.

    Raises:
        ModelError: the cache can't be used.
    """
    cache = Cache.for_this_host()
    free = shutil.disk_usage(cache.root).free / MIB
    text = f"{cache.root} on {platform.node()} has {readable(free)} free"
    # The model and its successor.
    if free < 2 * needed:
        return BAD, (
            f"{text}; a model and its successor take about {readable(2 * needed)}: free some, or "
            "set NITAMONO_CACHE to a folder on a larger disk"
        )
    return OK, f"{text}; a model takes about {readable(needed)}"
