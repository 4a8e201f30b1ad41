"""The stages, in their order. Each stage reads tables, calls a method, and writes tables."""

from types import ModuleType
from typing import cast

from pipeline.stages.context import Stage
from pipeline.stages.embed import stage as embed
from pipeline.stages.index import stage as index
from pipeline.stages.ingest import stage as ingest
from pipeline.stages.neighbors import stage as neighbors
from pipeline.stages.publish import stage as publish
from pipeline.stages.tokenize import stage as tokenize
from pipeline.stages.train import stage as train


def _stage(module: ModuleType) -> Stage:
    return cast("Stage", module)


CHAIN: tuple[Stage, ...] = tuple(
    _stage(module) for module in (ingest, tokenize, train, embed, index, neighbors, publish)
)
NAMES: tuple[str, ...] = tuple(stage.NAME for stage in CHAIN)
