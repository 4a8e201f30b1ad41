"""Brute force over all pairs in float64: what the search has to give, by its definition."""

import numpy as np
import numpy.typing as npt


def neighbors(
    ids: list[str], vectors: npt.NDArray[np.floating], k: int, allowed: npt.NDArray[np.bool_]
) -> dict[str, list[tuple[str, float]]]:
    """The k best allowed others of each item by cosine rounded to float32, ties by id.

    Args:
        ids: n ids.
        vectors: float[n, dim].
        k: neighbours an item.
        allowed: bool[n, n], whether a row's item may have a column's as a neighbour.
    """
    wide = vectors.astype(np.float64)
    found = {}
    for row, item in enumerate(ids):
        scored = []
        for column, other in enumerate(ids):
            if column == row or not allowed[row, column]:
                continue
            a, b = wide[row], wide[column]
            norms = np.sqrt(np.sum(a * a) * np.sum(b * b))
            cosine = np.float32(np.clip(np.sum(a * b) / norms, -1, 1)) if norms else np.float32(0)
            scored.append((-cosine, other))
        found[item] = [(other, float(-key)) for key, other in sorted(scored)[:k]]
    return {item: best for item, best in found.items() if best}


def vectors(n: int, dim: int, seed: int, *, duplicates: int = 0) -> npt.NDArray[np.float32]:
    """Seeded vectors that float16 holds, some of them the same."""
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((8, dim))
    drawn = centres[rng.integers(8, size=n)] + 0.5 * rng.standard_normal((n, dim))
    drawn[rng.integers(n, size=duplicates)] = drawn[0]
    return drawn.astype(np.float16).astype(np.float32)
