"""The stages, in the order of the data's way. Each reads tables, calls a method, writes tables."""

from types import ModuleType
from typing import cast

from pipeline.job import Stage
from pipeline.stages import embed, index, ingest, neighbors, publish, tokenize, train


def _stage(module: ModuleType) -> Stage:
    return cast("Stage", module)


CHAIN: tuple[Stage, ...] = tuple(
    _stage(module) for module in (ingest, tokenize, train, embed, index, neighbors, publish)
)
NAMES: tuple[str, ...] = tuple(stage.NAME for stage in CHAIN)
