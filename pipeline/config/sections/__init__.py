"""The config's sections: their settings with types, defaults and descriptions."""

from typing import Self

from pydantic import Field, model_validator

from pipeline.config.sections.base import Section
from pipeline.config.sections.locations import CatalogueSection, S3Section, StoreSection
from pipeline.config.sections.publishing import PublishSection, ReportSection
from pipeline.config.sections.search import IndexSection, NeighborsSection, RulesSection
from pipeline.config.sections.vectors import EmbedSection, ModelSection, TextSection

__all__ = [
    "CatalogueSection",
    "Config",
    "EmbedSection",
    "IndexSection",
    "ModelSection",
    "NeighborsSection",
    "PublishSection",
    "ReportSection",
    "RulesSection",
    "S3Section",
    "StoreSection",
    "TextSection",
]


class Config(Section):
    """The whole config; only [store] and [catalogue] must be given."""

    store: StoreSection
    catalogue: CatalogueSection
    s3: S3Section = S3Section()
    text: TextSection = TextSection()
    model: ModelSection = ModelSection()
    embed: EmbedSection = EmbedSection()
    index: IndexSection = IndexSection()
    neighbors: NeighborsSection = NeighborsSection()
    rules: RulesSection = RulesSection()
    publish: PublishSection = PublishSection()
    report: ReportSection = ReportSection()
    spark: dict[str, str] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _library_gives_means(self) -> Self:
        library = self.model.kind == "fasttext" and self.model.engine == "library"
        if library and self.embed.method != "mean":
            raise ValueError(
                f'embed.method is {self.embed.method}, and model.engine = "library" gives means '
                'only; set embed.method = "mean", or leave the engine'
            )
        return self
