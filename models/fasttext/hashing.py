"""64-bit hashes in arrays: the mixing steps of splitmix64, and slots in a hash table."""

import numpy as np
import numpy.typing as npt

Hashes = npt.NDArray[np.uint64]

# splitmix64's increment: 2**64 divided by the golden ratio.
GOLDEN_GAMMA = np.uint64(0x9E3779B97F4A7C15)
_SHIFTS = (np.uint64(30), np.uint64(27))
_MULTIPLIERS = (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))


def mix64(numbers: Hashes) -> Hashes:
    """Mix the bits of each of uint64[n], as splitmix64 does in its last steps.

    Source: Steele, Lea and Flood 2014, "Fast splittable pseudorandom number generators".
    """
    mixed = numbers
    for shift, multiplier in zip(_SHIFTS, _MULTIPLIERS, strict=True):
        mixed = (mixed ^ (mixed >> shift)) * multiplier
    return np.asarray(mixed ^ (mixed >> np.uint64(31)), dtype=np.uint64)


def table_slots(hashes: Hashes, size: int) -> npt.NDArray[np.int64]:
    """Return the slot of each hash in a table whose size is a power of two: int64[n]."""
    return (hashes & np.uint64(size - 1)).astype(np.int64)


def is_power_of_two(size: int) -> bool:
    """Whether a size fits `table_slots`."""
    return size > 0 and size & (size - 1) == 0
