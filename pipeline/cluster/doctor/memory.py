"""The memory that a night takes beside what the machine or the executors have."""

import os
import platform
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from models import ModelError, fasttext
from models.disk import size as size_of
from pipeline import catalogue
from pipeline.cluster.doctor import host
from pipeline.cluster.doctor.finding import OK
from pipeline.cluster.sizing import requirements, warnings
from pipeline.cluster.sizing.cost import CHARACTERS
from pipeline.cluster.sizing.memory_size import MIB, readable
from pipeline.cluster.sizing.plan import Cluster, Node, Plan, make_plan
from pipeline.cluster.sizing.requirements import Requirements
from pipeline.config.sections import Config
from pipeline.errors import NitamonoError, UsageError
from pipeline.stages.train import model_registry
from pipeline.store import model_folders
from pipeline.store.store import Store

if TYPE_CHECKING:
    from pyspark import SparkContext

# A model that is still to be trained is taken to have a word for each item, and no more than this.
_MAX_WORDS = 1_000_000
_ENCODER_DIM = 384
# Bytes of a character in UTF-8, among Japanese ones.
_BYTES_OF_CHARACTER = 2.5
_COMPRESSED = 3.0


class HostProbe(NamedTuple):
    """What a task saw of its host.

    Attributes:
        name: the host.
        python: the version of its Python.
        cores: its processors.
        memory: its memory, MiB.
        cache: the state of its cache of models.
        cache_text: the same in words.
    """

    name: str
    python: str
    cores: int
    memory: float
    cache: str
    cache_text: str


def probe_host(model: float) -> HostProbe:
    """Look at the host that this runs on.

    Args:
        model: size of the model, MiB.
    """
    try:
        cache, text = host.cache_room(model)
    except ModelError as error:
        cache, text = "bad", f"on {platform.node()}: {error}"
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / MIB
    cores = os.cpu_count() or 1
    return HostProbe(platform.node(), platform.python_version(), cores, memory, cache, text)


def probe_executors(context: "SparkContext", model: float) -> list[HostProbe]:
    """What tasks on every executor saw of their hosts, one a host."""
    tasks = context.defaultParallelism
    probes = context.parallelize(range(tasks), tasks).map(lambda _: probe_host(model)).collect()
    found: dict[str, HostProbe] = {probe.name: probe for probe in probes}
    return [found[name] for name in sorted(found)]


def count_items(config: Config) -> int:
    """How many items the catalogue has: the store's, or a guess from its files' size; 0: unknown.

    Raises:
        InputError: the files can't be listed.
    """
    try:
        store = Store.of(config, make=False)
        latest = store.latest("items")
        record = store.find_record("ingest", latest["version"]) if latest else None
        if record is not None:
            return record.tables["items"]
    except NitamonoError:
        pass  # there is no store yet
    source = catalogue.source_of(config)
    if not isinstance(source, catalogue.Source):
        return 0
    characters = catalogue.total_bytes(source) / _BYTES_OF_CHARACTER
    first = catalogue.format_of(source)
    return max(
        1, round(characters * (1 if first in ("csv", "jsonl") else _COMPRESSED) / CHARACTERS)
    )


def needs_of(config: Config, items: int) -> tuple[Requirements, str]:
    """The memory that the stages need, and which model that is for."""
    path = Path(config.model.path) if config.model.path and "://" not in config.model.path else None
    is_static = config.model.kind == "static"
    if path is None and not config.model.path:
        path = _current_model(config)
    if path is not None and is_static and path.exists():
        return requirements.for_static(config, path, items), f"the model {path}"
    if path is not None and path.is_dir():
        return requirements.for_encoder(config, size_of(path), _ENCODER_DIM, items), f"{path}"
    if path is not None and path.exists():
        size = fasttext.size_of_file(path, float16=config.model.float16)
        return requirements.for_fasttext(config, size, items), f"the model {path.parent.name}"
    words = min(items, _MAX_WORDS)
    rows = requirements.ngram_rows(config, words)
    size = fasttext.estimate_size(words, rows, config.model.dim, float16=config.model.float16)
    return requirements.for_fasttext(config, size, items), f"a new model of {words:,} words"


def _current_model(config: Config) -> Path | None:
    try:
        store = Store.of(config, make=False)
        record = model_registry.current_model(config, store)
        return model_folders.local_file(store.models.file(record), str(record.outputs["kind"]))
    except (NitamonoError, ModelError):
        return None


def check(context: "SparkContext", hosts: list[HostProbe], needs: Requirements, what: str) -> str:
    """Whether the stages fit.

    Args:
        context: the session's.
        hosts: of the executors.
        needs: memory that the stages need.
        what: what the needs are of.

    Raises:
        UsageError: they do not; it says which setting to change.
    """
    conf, cluster = dict(context.getConf().getAll()), _cluster(context.master or "local")
    smallest = min(hosts, key=lambda one: one.memory)
    if cluster == "local":
        return _check_local(context, smallest, needs, what)
    cores = int(conf.get("spark.executor.cores") or context.defaultParallelism // len(hosts) or 1)
    node = Node(smallest.cores, smallest.memory, len(hosts), cluster)
    plan = Plan(node, needs, 1, cores)
    # Those that have joined; with dynamic allocation no setting says how many come.
    conf.setdefault("spark.executor.instances", str(context.defaultParallelism // cores or 1))
    try:
        problems = list(warnings.executor_problems(plan, conf))
    except ValueError as error:
        raise UsageError(f"[spark]: {error}") from error
    if problems:
        raise UsageError(f"{'; '.join(problems)}; nitamono size computes all of them")
    return (
        f"executors of {cores} tasks on hosts of {readable(smallest.memory)}; the largest stage, "
        f"{plan.largest_stage.name}, takes {readable(plan.node_memory(plan.largest_stage))} an "
        f"executor, with {what}"
    )


def _check_local(
    context: "SparkContext", machine: HostProbe, needs: Requirements, what: str
) -> str:
    cores = context.defaultParallelism
    node = Node(max(cores, machine.cores), machine.memory, 1, "local")
    plan = Plan(node, needs, 1, cores)
    text = (
        f"{cores} tasks at once take up to {readable(plan.total)} of the machine's "
        f"{readable(machine.memory)}, with {what}"
    )
    if plan.total > node.usable:
        fewer = make_plan(node, needs).cores
        raise UsageError(
            f'{text}: set master = "local[{fewer}]" under [spark], or neighbors.worker_mb lower'
        )
    return text


def _cluster(master: str) -> Cluster:
    if master == "local" or master.startswith("local["):
        return "local"
    if master.startswith("k8s"):
        return "kubernetes"
    return "yarn" if master.startswith("yarn") else "standalone"


def cache_problems(hosts: list[HostProbe]) -> list[str]:
    """What is wrong with the caches of hosts."""
    return [one.cache_text for one in hosts if one.cache != OK]
