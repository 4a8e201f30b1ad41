"""The quantiser: centroids that partition a catalogue into lists, and above many lists parents."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pipeline.retrieval.nearest_centroids import Int32, nearest_centroids
from pipeline.retrieval.parents import Parents
from pipeline.retrieval.vectors import Float32, unit_vectors

# The mean length of a list that the number of lists aims at. Where the sample, which is trained on
# the driver, is too small for so many lists, they are longer.
_MEAN_LIST = 1_000
_POINTS_PER_CENTROID = 50
_MIN_POINTS_PER_CENTROID = 16


def list_count(items: int, max_sample: int) -> int:
    """How many lists a catalogue is partitioned into.

    Args:
        items: vectors in the catalogue.
        max_sample: vectors to train on, at most; each centroid needs some of them.
    """
    return max(1, min(math.ceil(items / _MEAN_LIST), max_sample // _MIN_POINTS_PER_CENTROID))


def sample_size(nlist: int, max_sample: int) -> int:
    """How many vectors the quantiser is trained on."""
    return min(max_sample, nlist * _POINTS_PER_CENTROID)


@dataclass(frozen=True)
class Quantiser:
    """A quantiser; list_training.py trains one.

    Attributes:
        centroids: float32[nlist, dim], unit length, one a list.
        parents: of the lists; None: a vector is compared with all lists.
    """

    centroids: Float32
    parents: Parents | None = None

    def __len__(self) -> int:
        """The number of lists."""
        return len(self.centroids)

    def probe(self, vectors: Float32, nprobe: int) -> Int32:
        """The lists that a search for each vector starts from, nearest first.

        They depend on the vector alone, not on the batch that it is in. A smaller nprobe gives the
        first of the same lists.

        Args:
            vectors: float32[n, dim].
            nprobe: how many lists; at most nlist.

        Returns:
            int32[n, min(nprobe, nlist)]; the first column is the list that the item itself is in.
        """
        nprobe = min(nprobe, len(self))
        if self.parents is None:
            return nearest_centroids(vectors, self.centroids, nprobe)
        return self.parents.probe(vectors, self.centroids, nprobe)

    def ranks(self, vectors: Float32) -> Int32:
        """The place of each list in the order of `probe`: int32[n, nlist], 0 for the first.

        Every vector is compared with every list.
        """
        if self.parents is None:
            scores = unit_vectors(vectors) @ self.centroids.T
        else:
            scores = self.parents.scores(vectors, self.centroids)
        order = np.argsort(-scores, axis=1, kind="stable")
        ranks = np.empty(order.shape, dtype=np.int32)
        np.put_along_axis(ranks, order, np.arange(len(self), dtype=np.int32)[None], axis=1)
        return ranks

    def arrays(self) -> list["npt.NDArray[np.generic]"]:
        """What a quantiser's file holds, one array after the other.

        The centroids; and if there are parents, theirs, the number of lists of each, and how many
        are probed.
        """
        if self.parents is None:
            return [self.centroids]
        parents = self.parents
        return [self.centroids, parents.centroids, parents.sizes, np.array([parents.probed])]

    @classmethod
    def from_arrays(cls, arrays: Sequence["npt.NDArray[np.generic]"]) -> "Quantiser":
        """The quantiser of a file's arrays, as `arrays` gives them.

        Raises:
            ValueError: they do not belong together.
        """
        centroids = np.asarray(arrays[0], dtype=np.float32)
        if len(arrays) == 1:
            return cls(centroids)
        if len(arrays) != 4:
            raise ValueError(f"it holds {len(arrays)} arrays, not 1 or 4")
        own, sizes, probed = np.asarray(arrays[1], np.float32), arrays[2], int(arrays[3][0])
        first_list = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
        is_consistent = (
            own.ndim == centroids.ndim
            and own.shape == (len(sizes), centroids.shape[1])
            and first_list[-1] == len(centroids)
            and (np.diff(first_list) > 0).all()
            and 0 < probed <= len(own)
        )
        if not is_consistent:
            raise ValueError("its parents do not fit its lists")
        return cls(centroids, Parents(own, first_list, probed))
