"""The map: what is alike lies together."""

import numpy as np
import pytest

from pipeline.report.projection import project


def test_groups_stay_together_and_the_map_is_the_same_each_time() -> None:
    rng = np.random.default_rng(3)
    centres = np.eye(4, 16) * 5
    groups = np.repeat(np.arange(4), 20)
    vectors = (centres[groups] + rng.normal(0, 0.3, (80, 16))).astype(np.float32)
    points = project(vectors)
    assert points.shape == (80, 2)
    assert np.abs(points).max() <= 1.0001
    far = np.linalg.norm(points[:, None] - points[None], axis=2) + np.eye(80) * 9
    assert (groups[far.argmin(axis=1)] == groups).all()
    # A vector's length says nothing.
    assert (project(vectors * 4) == points).all()


@pytest.mark.parametrize("count", [0, 1, 2, 5, 40])
def test_few_or_equal_vectors_have_points_too(count: int) -> None:
    for vectors in (np.ones((count, 3)), np.zeros((count, 3)), np.eye(count, 3)):
        points = project(vectors.astype(np.float32))
        assert points.shape == (count, 2)
        assert np.isfinite(points).all()
