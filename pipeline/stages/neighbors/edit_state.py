"""The edits of a run that have conditions, and what kinds of others there are."""

import json
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

from pipeline.retrieval.boosts import Boosts
from pipeline.retrieval.pair_edits import DENIED


@dataclass(frozen=True)
class Edit:
    """An edit with a condition; what is None is left out.

    Attributes:
        item_id: the item.
        item_where: a condition on the item; without both, all items.
        similar_id: the neighbour.
        similar_where: a condition on the neighbour.
        action: boost, deny or pin.
        value: what is added to the score; DENIED; or the rank.
    """

    item_id: str | None
    item_where: str | None
    similar_id: str | None
    similar_where: str | None
    action: str
    value: float

    @property
    def is_of_all(self) -> bool:
        """Whether it is of all items."""
        return self.item_id is None and self.item_where is None

    @property
    def item(self) -> "Side":
        """Its item."""
        return Side(self.item_id, self.item_where)

    @property
    def neighbor(self) -> "Side":
        """Its neighbour."""
        return Side(self.similar_id, self.similar_where)


class Side(NamedTuple):
    """One of the two items of an edit: an id, or a condition."""

    item_id: str | None
    where: str | None


@dataclass(frozen=True)
class State:
    """What the edits in force are: a part of the stage's inputs.

    Attributes:
        digest: of their rows; those of rules.deny are not among them.
        denies: whether edits, or rules.deny, may deny pairs of ids.
        boosts: whether edits boost pairs of ids.
        boosts_of_all: whether edits boost neighbours of all items.
        pins: whether there are pins.
        conditional: the edits with conditions, and the pins of all items, as the values of Edit,
            in order.
    """

    digest: str = ""
    denies: bool = False
    boosts: bool = False
    boosts_of_all: bool = False
    pins: bool = False
    conditional: tuple[tuple[Any, ...], ...] = ()

    @property
    def exist(self) -> bool:
        """Whether there is a table of edits, which may be empty."""
        return bool(self.digest)

    @classmethod
    def from_inputs(cls, inputs: dict[str, Any] | None) -> "State":
        """The state that a record's inputs hold."""
        if not inputs:
            return cls()
        edits = tuple(tuple(values) for values in inputs["conditional"])
        return cls(**(inputs | {"conditional": edits}))

    def as_inputs(self) -> dict[str, Any]:
        """The state as a record's inputs hold it."""
        return json.loads(json.dumps(asdict(self)))  # type: ignore[no-any-return]

    @property
    def with_conditions(self) -> list[Edit]:
        """The edits with conditions."""
        names = Edit.__dataclass_fields__
        edits = (Edit(**dict(zip(names, values, strict=True))) for values in self.conditional)
        return [edit if edit.action != "deny" else _denying(edit) for edit in edits]

    @property
    def numbered(self) -> list[Edit]:
        """The edits of pairs by conditions, in the order of their numbers: see pair_edits.py."""
        return [e for e in self.with_conditions if e.action != "pin" and not e.is_of_all]

    @property
    def of_all(self) -> list[Edit]:
        """The edits of neighbours of all items by conditions."""
        return [e for e in self.with_conditions if e.action != "pin" and e.is_of_all]

    @property
    def deny_conditional(self) -> int:
        """Which of the numbered edits deny: a bit for each."""
        return sum(1 << n for n, edit in enumerate(self.numbered) if edit.value == DENIED)

    def with_boosts(self, boosts: Boosts) -> Boosts:
        """The boosts of [rank] and those of the edits."""
        low, high = boosts.own
        if self.boosts_of_all:
            low, high = low - 1.0, high + 1.0
        added = tuple(0.0 if e.value == DENIED else e.value for e in self.numbered)
        return Boosts((low, high), boosts.matches, boosts.price, added, self.boosts)


def _denying(edit: Edit) -> Edit:
    return Edit(**(asdict(edit) | {"value": DENIED}))
