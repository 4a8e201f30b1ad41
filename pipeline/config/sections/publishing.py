"""The sections of what comes out: [publish] and [report]."""

from typing import Literal

from pydantic import Field

from pipeline.config.sections.base import Section


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
    max_quarantined: float = Field(
        0.05,
        ge=0,
        le=1,
        description="the table is held back if a larger share of the catalogue's rows is in "
        "quarantine; 1: never",
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
