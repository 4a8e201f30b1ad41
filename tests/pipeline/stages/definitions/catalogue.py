"""A catalogue with the cosines of all pairs of its items, for table.py."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tests.pipeline.stages.definitions.edits import Condition, Row
from tests.pipeline.stages.definitions.finer_scores import FinerScores


@dataclass
class Catalogue:
    """What the lists are made of.

    Attributes:
        rows: the items; a value that is None is missing.
        vectors: of each item, or None.
        nearest_lists: int[n, lists], of each item with a vector the lists, nearest first, the first
            being its own; None if there are none.
        conditions: what the conditions on items mean that settings have.
        finer_scores: of pairs, by which rank.rerank ranks candidates again.
    """

    rows: Sequence[Row]
    vectors: Sequence[npt.NDArray[np.float32] | None]
    nearest_lists: npt.NDArray[np.integer] | None
    conditions: Mapping[str, Condition]
    finer_scores: FinerScores

    def __post_init__(self) -> None:
        self.ids = [row["item_id"] for row in self.rows]
        self.places = {item: place for place, item in enumerate(self.ids)}
        self.has_vector = [vector is not None for vector in self.vectors]
        dim = next(len(vector) for vector in self.vectors if vector is not None)
        wide = np.array(
            [
                np.zeros(dim) if vector is None else vector.astype(np.float64)
                for vector in self.vectors
            ]
        )
        squares = (wide * wide).sum(axis=1)
        self.cosines = np.zeros((len(wide), len(wide)), dtype=np.float32)
        for place, vector in enumerate(wide):
            norms = np.sqrt(squares * squares[place])
            products = (wide * vector).sum(axis=1)
            self.cosines[place] = np.clip(products / np.where(norms, norms, 1), -1, 1)

    def probed(self, place: int, width: int) -> list[int]:
        """The items with a vector that are in the lists nearest to an item, itself excepted."""
        others = [n for n, has in enumerate(self.has_vector) if has and n != place]
        if self.nearest_lists is None:
            return others
        near = set(self.nearest_lists[place, :width].tolist())
        return [n for n in others if int(self.nearest_lists[n, 0]) in near]

    def crowding(self, place: int) -> float:
        """The mean cosine of an item to its ten nearest of four lists, to a fiftieth."""
        best = sorted((-self.cosines[place, n], self.ids[n]) for n in self.probed(place, 4))[:10]
        mean = -sum(float(cosine) for cosine, _ in best) / len(best) if best else 0.0
        return round(max(mean, 0.0) * 50) / 50
