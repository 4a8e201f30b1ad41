"""The result of `size`, formatted as a conf file, as JSON, or as options of spark-submit."""

import textwrap
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from models.fasttext import ModelSize
from pipeline.cluster.sizing.cost import Cost
from pipeline.cluster.sizing.memory_size import MIB, readable
from pipeline.cluster.sizing.plan import Plan
from pipeline.cluster.sizing.work import Work
from pipeline.terminal.output import format_bytes, table

_WIDTH = 96


@dataclass(frozen=True)
class SizingResult:
    """A plan with its settings, their explanation and warnings.

    Attributes:
        items: number of items in the catalogue.
        k: neighbours an item.
        model: size of the model; None: an encoder.
        plan: the executors of a node.
        cost: cost of a full night.
        work: its tasks, and the largest allocations.
        conf: Spark's settings.
        reasons: why each setting is as it is.
        warnings: what would kill jobs.
    """

    items: int
    k: int
    model: ModelSize | None
    plan: Plan
    cost: Cost
    work: Work
    conf: dict[str, str]
    reasons: list[str]
    warnings: list[str]


def as_json(result: SizingResult) -> dict[str, Any]:
    """The result for programs; memory in MiB."""
    plan, cost = result.plan, result.cost
    stages = {
        stage.name: {
            "worker": round(stage.worker, 1),
            "workers": round(plan.python_workers(stage), 1),
            "model": round(stage.shared, 1),
            "node": round(plan.node_memory(stage), 1),
        }
        for stage in plan.requirements.stages
    }
    return {
        "items": result.items,
        "k": result.k,
        "model": asdict(result.model) if result.model else None,
        "engine": plan.requirements.engine,
        "vector_dim": plan.requirements.dim,
        "node": asdict(plan.node)
        | {"reserve": plan.node.system_memory, "usable": plan.node.usable},
        "executors_a_node": plan.executors,
        "cores": plan.cores,
        "tasks_a_node": plan.tasks,
        "heap": plan.heap,
        "jvm_beside_heap": plan.off_heap,
        "overhead": round(plan.overhead, 1),
        "jvms": plan.jvms,
        "stages": stages,
        "conf": result.conf,
        "cost": {
            "hours": round(cost.hours(plan.tasks * plan.node.count), 2),
            "core_hours": {stage: round(value, 2) for stage, value in cost.core_hours.items()},
            "training_core_hours": round(cost.training_core_hours, 2),
            "shuffle_bytes": {name: round(value) for name, value in cost.shuffle_bytes.items()},
            "assumed": list(cost.assumptions),
        },
        "tasks": result.work.tasks,
        "largest": {
            process: {"what": block.what, "mib": round(block.mib, 1)}
            for process, block in result.work.largest.items()
        },
        "reasons": result.reasons,
        "warnings": result.warnings,
    }


def conf_lines(result: SizingResult) -> Iterator[str]:
    """A file for spark-submit --properties-file, with the reasons in its comments."""
    yield from _comments(result)
    width = max(map(len, result.conf))
    for name, value in result.conf.items():
        yield f"{name:<{width}}  {value}"


def submit_lines(result: SizingResult) -> Iterator[str]:
    """Options of spark-submit, with the reasons in comments above them."""
    yield from _comments(result)
    yield "spark-submit \\"
    yield from (f"  --conf {name}={value} \\" for name, value in result.conf.items())
    yield "  pipeline/cli/entry/nitamono.py run --config nitamono.toml"


def _comments(result: SizingResult) -> Iterator[str]:
    node = result.plan.node
    yield from _comment(
        f"{result.items:,} items, {result.k} neighbours each, on {node.count:,} {node.cluster} "
        f"node{'s' if node.count > 1 else ''} of {node.cores} cores and {readable(node.memory)}"
    )
    yield from _comment(_model_text(result))
    yield "#"
    yield from (f"# {line}".rstrip() for line in _memory_table(result.plan))
    yield from _comment(f"together = {_formula(result.plan)}")
    yield "#"
    for line in (*_cost_lines(result), *_work_lines(result.work)):
        yield from _comment(line)
    for title, lines in (("Why", result.reasons), ("Warnings", result.warnings)):
        if lines:
            yield "#"
            yield f"# {title}"
        for line in lines:
            yield from _comment(f"- {line}")
    yield ""


def _comment(text: str) -> list[str]:
    return textwrap.wrap(
        text, _WIDTH, initial_indent="# ", subsequent_indent="#   ", break_on_hyphens=False,
        break_long_words=False,
    )  # fmt: skip


def _model_text(result: SizingResult) -> str:
    model, needs = result.model, result.plan.requirements
    if model is None:
        return f"model: an encoder of {format_bytes(int(needs.model * MIB))}"
    return (
        f"model: {model.words:,} words and {model.rows:,} n-gram rows of {model.dim} dimensions: "
        f"{format_bytes(model.binary)} as .bin, {format_bytes(model.packed)} packed; "
        f"an item's vector has {needs.dim}"
    )


def _memory_table(plan: Plan) -> list[str]:
    stages, node = plan.requirements.stages, plan.node

    def row(name: str, values: list[float]) -> list[str]:
        return [name, *(f"{value:,.0f}" for value in values)]

    head = ["a node, in MiB", *(stage.name for stage in stages)]
    jvms = f"{plan.executors} x JVM, {plan.heap:,} + {plan.off_heap}"
    usable = f"of {node.memory:,.0f} - {node.system_memory:,.0f} for the system"
    rows = [
        row(jvms, [plan.jvms] * len(stages)),
        row(f"{plan.tasks} x Python worker, its own", [plan.python_workers(s) for s in stages]),
        row("  of which one", [stage.worker for stage in stages]),
        row("model, mapped", [plan.mapped_files(stage) for stage in stages]),
        row("together", [plan.node_memory(stage) for stage in stages]),
        row(usable, [node.usable] * len(stages)),
    ]
    return table(head, rows, right=" ".join(head[1:]))


def _formula(plan: Plan) -> str:
    stages = "; ".join(f"{stage.name} {stage.explanation}" for stage in plan.requirements.stages)
    return f"executors x JVM + tasks x worker + model; a worker: {stages}"


def _cost_lines(result: SizingResult) -> Iterator[str]:
    cost, plan = result.cost, result.plan
    cores = plan.tasks * plan.node.count
    hours = ", ".join(f"{stage} {_hours(value)}" for stage, value in cost.core_hours.items())
    yield f"a full night: {_hours(cost.hours(cores))} hours on {cores:,} cores; core-hours: {hours}"
    if cost.training_core_hours:
        training = f"{_hours(cost.training_core_hours)} core-hours"
        yield f"training the quantiser, on the driver, some nights: {training}"
    sent = ", ".join(
        f"{name} {format_bytes(round(value))}" for name, value in cost.shuffle_bytes.items()
    )
    yield f"sent between executors: {sent}"
    yield f"assumed: {'; '.join(cost.assumptions)}"


def _work_lines(work: Work) -> Iterator[str]:
    tasks = ", ".join(f"{step} {count:,}" for step, count in work.tasks.items())
    yield f"tasks of the search's steps: {tasks}"
    largest = "; ".join(
        f"{process}: {block.what}, {readable(block.mib)}" for process, block in work.largest.items()
    )
    yield f"largest single allocation of each process: {largest}"


def _hours(value: float) -> str:
    return f"{value:,.1f}" if value >= 1 else f"{value:.2f}"
