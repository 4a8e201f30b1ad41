"""Values of the column `neighbors` and of the floor: an id, its cosine, what it is ranked by."""

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.retrieval.vectors import Float32
from pipeline.storage.list_schemas import NEIGHBOR


def neighbors_of(ids: pa.Array, scores: Float32, cosines: Float32 | None) -> pa.StructArray:
    """Values of NEIGHBOR.

    Args:
        ids: string[n].
        scores: float32[n], what they are ranked by.
        cosines: float32[n]; None if the scores are the cosines, because there are no boosts.
    """
    ranked = pa.array(scores, pa.float32())
    shown = ranked if cosines is None else pa.array(cosines, pa.float32())
    if cosines is None:
        ranked = pa.nulls(len(ids), pa.float32())
    return pa.StructArray.from_arrays([ids, shown, ranked], fields=list(NEIGHBOR))


def ranked_by(neighbors: pa.StructArray) -> pa.Array:
    """What values of NEIGHBOR, or of SHOWN_NEIGHBOR, are ranked by: float32[n]."""
    return pc.coalesce(neighbors.field("ranked_by"), neighbors.field("score"))
