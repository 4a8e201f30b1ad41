"""The sections of what comes out: [fallback], [publish] and [report]."""

import re
from typing import Literal, NamedTuple, Self

from pydantic import Field, model_validator

from pipeline.config.sections.base import Section

_ENTRY = re.compile(r"(?:same (?P<same>[a-z][a-z0-9_]*) )?by (?P<by>[a-z][a-z0-9_]*)")


class FallbackEntry(NamedTuple):
    """Which items fill lists.

    Attributes:
        text: as fallback.order has it.
        same: the column in which they have the item's own value; empty: all items.
        by: the column of numbers of which the greatest come first.
    """

    text: str
    same: str
    by: str


class FallbackSection(Section):
    """What fills the lists of items with too few neighbours."""

    order: list[str] = Field(
        default_factory=list,
        description="what fills them, the first first: `same COLUMN by NUMBER`, items with the "
        "item's own value in a column, those with the greatest number first; or `by NUMBER`, all "
        "items; empty: nothing",
    )

    @model_validator(mode="after")
    def _order_is_readable(self) -> Self:
        for text in self.order:
            if not _ENTRY.fullmatch(text):
                raise ValueError(
                    f'order: {text!r} can\'t be read; write "same COLUMN by NUMBER", for instance '
                    '"same category by stock", or "by NUMBER"'
                )
        if repeated := sorted({text for text in self.order if self.order.count(text) > 1}):
            raise ValueError(f"order: {', '.join(repeated)} is there twice; leave one out")
        return self

    @property
    def entries(self) -> list[FallbackEntry]:
        """What fills lists, in its order."""
        matches = [_ENTRY.fullmatch(text) for text in self.order]
        return [FallbackEntry(m[0], m["same"] or "", m["by"]) for m in matches if m]


class PublishSection(Section):
    """Whether runs publish, and the gate before it."""

    publish: bool = Field(True, description="false: runs publish only when told to with --publish")
    table: str = Field(
        "",
        description="a table of a catalog, CATALOG.SCHEMA.TABLE, that gets what is published too, "
        "in one commit; it is made if it is missing",
    )
    table_format: Literal["", "iceberg", "delta", "parquet"] = Field(
        "", description="the format that the table is made with; empty: its catalog's own"
    )
    reasons: bool = Field(
        False,
        description="whether the table says of each pair which words of both titles carry most of "
        "its score, in a column shared_words",
    )
    min_recall: float = Field(
        -1.0,
        ge=-1,
        le=1,
        description="the table is held back below this recall; -1: neighbors.target_recall",
    )
    max_without: float = Field(
        0.5,
        ge=0,
        le=1,
        description="the table is held back if a larger share of items has no neighbour",
    )
    min_rows: float = Field(
        0.9,
        ge=0,
        le=1,
        description="the table is held back if it has fewer rows than this share of the "
        "published one's",
    )
    min_coverage: float = Field(
        0.9, ge=0, le=1, description="as min_rows, for the items that have neighbours"
    )
    max_churn: float = Field(
        0.5,
        ge=0,
        le=1,
        description="the table is held back if a larger share of neighbours was replaced; 1: never",
    )


class ReportSection(Section):
    """The page of a run."""

    map_items: int = Field(
        1500, ge=0, le=2000, description="items on the map of a run's page, at most; 0: no map"
    )
    base_url: str = Field(
        "",
        pattern=r"^(https?://[^\s]+)?$",
        description="address under which people open the store's folder in a browser, for links "
        "in notices; empty: they name the page's path",
    )
