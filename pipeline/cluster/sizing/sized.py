"""What `size` found, and how it is shown: as a conf file, as JSON, as options of spark-submit."""

import textwrap
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from models.fasttext import ModelSize
from pipeline.cluster.sizing.amount import MIB, shown
from pipeline.cluster.sizing.cost import Cost
from pipeline.cluster.sizing.plan import Plan
from pipeline.terminal.output import size, table

_WIDTH = 96


@dataclass(frozen=True)
class Sized:
    """A plan with all that is said of it.

    Attributes:
        items: in the catalogue.
        k: neighbours an item.
        model: how large it is; None: an encoder.
        plan: how the nodes are used.
        cost: of a full night.
        conf: Spark's settings.
        reasons: for them.
        warnings: of what kills jobs.
    """

    items: int
    k: int
    model: ModelSize | None
    plan: Plan
    cost: Cost
    conf: dict[str, str]
    reasons: list[str]
    warnings: list[str]


def as_json(found: Sized) -> dict[str, Any]:
    """All of it, for programs; memory in MiB."""
    plan, cost = found.plan, found.cost
    stages = {
        stage.name: {
            "worker": round(stage.worker, 1),
            "workers": round(plan.python(stage), 1),
            "model": round(stage.shared, 1),
            "node": round(plan.needs(stage), 1),
        }
        for stage in plan.demand.stages
    }
    return {
        "items": found.items,
        "k": found.k,
        "model": asdict(found.model) if found.model else None,
        "engine": plan.demand.engine,
        "vector_dim": plan.demand.dim,
        "node": asdict(plan.node) | {"reserve": plan.node.kept, "usable": plan.node.usable},
        "executors_a_node": plan.executors,
        "cores": plan.cores,
        "tasks_a_node": plan.slots,
        "heap": plan.heap,
        "jvm_beside_heap": plan.beside,
        "overhead": round(plan.overhead, 1),
        "jvms": plan.executors * (plan.heap + plan.beside),
        "stages": stages,
        "conf": found.conf,
        "cost": {
            "hours": round(cost.hours(plan.slots * plan.node.count), 2),
            "core_hours": {stage: round(value, 2) for stage, value in cost.core_hours.items()},
            "training_core_hours": round(cost.training, 2),
            "shuffle_bytes": {name: round(value) for name, value in cost.bytes.items()},
            "assumed": list(cost.assumed),
        },
        "reasons": found.reasons,
        "warnings": found.warnings,
    }


def conf_lines(found: Sized) -> Iterator[str]:
    """A file for spark-submit --properties-file, the reasons in its comments."""
    yield from _comments(found)
    width = max(map(len, found.conf))
    for name, value in found.conf.items():
        yield f"{name:<{width}}  {value}"


def submit_lines(found: Sized) -> Iterator[str]:
    """The options of spark-submit, the reasons in comments above."""
    yield from _comments(found)
    pairs = [f"--conf {name}={value}" for name, value in found.conf.items()]
    yield "spark-submit \\"
    yield from (f"  {pair} \\" for pair in pairs)
    yield "  pipeline/entry/nitamono.py run --config nitamono.toml"


def _comments(found: Sized) -> Iterator[str]:
    node = found.plan.node
    yield from _wrapped(
        f"{found.items:,} items, {found.k} neighbours each, on {node.count:,} {node.cluster} "
        f"node{'s' if node.count > 1 else ''} of {node.cores} cores and {shown(node.memory)}"
    )
    yield from _wrapped(_model(found))
    yield "#"
    yield from (f"# {line}".rstrip() for line in _table(found.plan))
    yield from _wrapped(f"together = {_formula(found.plan)}")
    yield "#"
    for line in _cost(found):
        yield from _wrapped(line)
    for title, lines in (("Why", found.reasons), ("Warnings", found.warnings)):
        if lines:
            yield "#"
            yield f"# {title}"
        for line in lines:
            yield from _wrapped(f"- {line}")
    yield ""


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(
        text, _WIDTH, initial_indent="# ", subsequent_indent="#   ", break_on_hyphens=False,
        break_long_words=False,
    )  # fmt: skip


def _model(found: Sized) -> str:
    model, asked = found.model, found.plan.demand
    if model is None:
        return f"model: an encoder of {size(int(asked.model * MIB))}"
    return (
        f"model: {model.words:,} words and {model.rows:,} n-gram rows of {model.dim} dimensions: "
        f"{size(model.binary)} as .bin, {size(model.packed)} packed; "
        f"an item's vector has {asked.dim}"
    )


def _table(plan: Plan) -> list[str]:
    stages, node = plan.demand.stages, plan.node
    jvms = plan.executors * (plan.heap + plan.beside)

    def row(name: str, values: list[float]) -> list[str]:
        return [name, *(f"{value:,.0f}" for value in values)]

    head = ["a node, in MiB", *(stage.name for stage in stages)]
    rows = [
        row(f"{plan.executors} x JVM, {plan.heap:,} + {plan.beside}", [jvms] * len(stages)),
        row(f"{plan.slots} x Python worker, its own", [plan.python(s) for s in stages]),
        row("  of which one", [stage.worker for stage in stages]),
        row("model, mapped", [plan.needs(s) - jvms - plan.python(s) for s in stages]),
        row("together", [plan.needs(stage) for stage in stages]),
        row(
            f"of {node.memory:,.0f} - {node.kept:,.0f} for the system", [node.usable] * len(stages)
        ),
    ]
    return table(head, rows, right=" ".join(head[1:]))


def _formula(plan: Plan) -> str:
    stages = "; ".join(f"{stage.name} {stage.why}" for stage in plan.demand.stages)
    return f"executors x JVM + tasks x worker + model; a worker: {stages}"


def _cost(found: Sized) -> Iterator[str]:
    cost, plan = found.cost, found.plan
    slots = plan.slots * plan.node.count
    hours = ", ".join(f"{stage} {_hours(value)}" for stage, value in cost.core_hours.items())
    yield f"a full night: {_hours(cost.hours(slots))} hours on {slots:,} cores; core-hours: {hours}"
    if cost.training:
        training = f"{_hours(cost.training)} core-hours"
        yield f"training the quantiser, on the driver, some nights: {training}"
    sent = ", ".join(f"{name} {size(round(value))}" for name, value in cost.bytes.items())
    yield f"sent between executors: {sent}"
    yield f"assumed: {'; '.join(cost.assumed)}"


def _hours(value: float) -> str:
    return f"{value:,.1f}" if value >= 1 else f"{value:.2f}"
