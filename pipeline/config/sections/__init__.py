"""The config's sections: their settings with types, defaults and descriptions."""

from collections.abc import Iterator
from typing import Any, Self

from pydantic import Field, model_validator

from models.stores import StoreOptions
from pipeline import conditions, redaction
from pipeline.config.sections.base import Section
from pipeline.config.sections.expectations import ExpectSection
from pipeline.config.sections.locations import CatalogueSection, StoreSection
from pipeline.config.sections.publishing import FallbackSection, PublishSection, ReportSection
from pipeline.config.sections.search import (
    EditsSection,
    IndexSection,
    NeighborsSection,
    RankSection,
    RulesSection,
    VariantSection,
)
from pipeline.config.sections.stores import AzureSection, GcsSection, S3Section
from pipeline.config.sections.vectors import EmbedSection, FieldSection, ModelSection, TextSection
from pipeline.config.sections.watching import LineageSection, MetricsSection, NotifySection

__all__ = [
    "AzureSection",
    "CatalogueSection",
    "Config",
    "EditsSection",
    "EmbedSection",
    "ExpectSection",
    "FallbackSection",
    "FieldSection",
    "GcsSection",
    "IndexSection",
    "LineageSection",
    "MetricsSection",
    "ModelSection",
    "NeighborsSection",
    "NotifySection",
    "PublishSection",
    "RankSection",
    "ReportSection",
    "RulesSection",
    "S3Section",
    "StoreSection",
    "TextSection",
    "VariantSection",
]


class Config(Section):
    """The whole config; only [store] and [catalogue] must be given."""

    store: StoreSection
    catalogue: CatalogueSection
    expect: ExpectSection = ExpectSection()
    s3: S3Section = S3Section()
    gcs: GcsSection = GcsSection()
    azure: AzureSection = AzureSection()
    text: TextSection = TextSection()
    model: ModelSection = ModelSection()
    embed: EmbedSection = EmbedSection()
    index: IndexSection = IndexSection()
    neighbors: NeighborsSection = NeighborsSection()
    rules: RulesSection = RulesSection()
    rank: RankSection = RankSection()
    edits: EditsSection = EditsSection()
    fallback: FallbackSection = FallbackSection()
    variant: list[VariantSection] = Field(default_factory=list)
    publish: PublishSection = PublishSection()
    report: ReportSection = ReportSection()
    notify: list[NotifySection] = Field(default_factory=list)
    metrics: MetricsSection = MetricsSection()
    lineage: LineageSection = LineageSection()
    spark: dict[str, str] = Field(default_factory=dict)

    def object_stores(self) -> StoreOptions:
        """How the object stores of all paths are reached."""
        return StoreOptions(
            s3=self.s3.options(),
            gcs_endpoint=self.gcs.endpoint or None,
            azure_endpoint=self.azure.endpoint or None,
            staging=self.s3.staging or None,
        )

    @model_validator(mode="after")
    def _library_gives_means(self) -> Self:
        library = self.model.kind == "fasttext" and self.model.engine == "library"
        if library and self.embed.method != "mean":
            raise ValueError(
                f'embed.method is {self.embed.method}, and model.engine = "library" gives means '
                'only; set embed.method = "mean", or leave the engine'
            )
        return self

    @model_validator(mode="after")
    def _edits_all_lists(self) -> Self:
        if self.edits.exists and (self.neighbors.mode != "all" or self.neighbors.where):
            raise ValueError(
                "[edits] is for runs of all items: lists that are carried over from the published "
                'version would keep edits of other days; set neighbors.mode = "all" and no '
                "neighbors.where, or leave [edits] out"
            )
        return self

    def of_variant(self, variant: VariantSection) -> "Config":
        """The config of a variant: a config without variants."""
        k = variant.k or self.neighbors.k
        changes = {
            "neighbors": self.neighbors.model_copy(update={"k": k}),
            "rules": variant.rules or self.rules,
            "rank": variant.rank or self.rank,
            "variant": [],
        }
        return self.model_copy(update=changes)

    @model_validator(mode="after")
    def _vectors_are_sums(self) -> Self:
        if self.publish.reasons and self.model.kind == "onnx":
            raise ValueError(
                "publish.reasons needs vectors that are sums over words, which an encoder does not "
                'make; leave it out, or set model.kind = "fasttext"'
            )
        ranks = (self.rank, *(variant.rank for variant in self.variant if variant.rank))
        if self.embed.method == "mean" and any(rank.rerank for rank in ranks):
            raise ValueError(
                "rank.rerank compares items by tokens with the statistics of the catalogue, which "
                'plain means do without; set embed.method = "blend", or rank.rerank = false'
            )
        if self.embed.method == "mean" and self.model.distilled:
            raise ValueError(
                'model.distilled is not in plain means; set embed.method = "blend", or leave it out'
            )
        return self

    @model_validator(mode="after")
    def _fields_are_read(self) -> Self:
        if self.embed.field and self.model.kind == "onnx" and self.embed.lexical_weight is None:
            raise ValueError(
                "embed.field: an encoder reads title and description only; set "
                "embed.lexical_weight, so that letters stand beside it, or leave the fields out"
            )
        return self

    @property
    def field_columns(self) -> list[str]:
        """The columns that a field can have: those of text, beside title and description."""
        further = [name for name, kind in self.catalogue.further.items() if kind == "string"]
        own = [one for one in conditions.TEXTS if one not in ("item_id", "title", "description")]
        return [*own, *further]

    @model_validator(mode="after")
    def _names_columns(self) -> Self:
        self._check_columns()
        return self

    def _check_columns(self) -> None:
        further = self.catalogue.further
        columns = conditions.columns_of(further)
        for name, text in (
            ("neighbors.where", self.neighbors.where),
            ("rules.eligible", self.rules.eligible),
            ("rules.query", self.rules.query),
        ):
            try:
                if text:
                    conditions.parse(text, columns)
            except conditions.ConditionError as error:
                raise ValueError(f"{name}: {error}") from error
        numbers = [*conditions.NUMBERS, *(n for n, kind in further.items() if kind == "number")]
        dates = [name for name, kind in further.items() if kind == "date"]
        compared = [name for name in columns if name not in ("item_id", "description")]
        everything = list(columns)
        rank, fallback = self.rank, self.fallback.entries
        for setting, names, known in (
            *((f"rules.{rule}", names, compared) for rule, names in self.rules.columns().items()),
            ("rank.same", list(rank.same), compared),
            ("rank.value", list(rank.value), numbers),
            ("rank.fresh", [rank.fresh.column] if rank.fresh else [], dates),
            ("fallback.order", [one.same for one in fallback if one.same], compared),
            ("fallback.order", [one.by for one in fallback], numbers),
            ("embed.field", [field.column for field in self.embed.field], self.field_columns),
            ("expect.max_null", list(self.expect.max_null), everything),
            ("expect.min_distinct", list(self.expect.min_distinct), compared),
            ("expect.max_distinct", list(self.expect.max_distinct), compared),
        ):
            for name in names:
                if name not in known:
                    raise ValueError(
                        f"{setting}: {name} is no column that it can use; these are: "
                        f"{', '.join(known) or 'none'}. Map others with catalogue.columns, and "
                        "give numbers, dates and booleans their type in catalogue.types"
                    )

    @model_validator(mode="after")
    def _has_variants(self) -> Self:
        names = [variant.name for variant in self.variant]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"two variants have the name {twice[0]}")
        for variant in self.variant:
            try:
                self.of_variant(variant)._check_columns()
            except ValueError as error:
                raise ValueError(f"variant {variant.name}: {error}") from error
        return self

    @model_validator(mode="after")
    def _holds_no_secrets(self) -> Self:
        for name, value in self.spark.items():
            if redaction.holds_secret(name, value):
                raise ValueError(f"{name} is a secret, or holds one: {redaction.ADVICE}")
        for name, value in _texts(self.model_dump(exclude={"spark"})):
            if redaction.has_password(value):
                raise ValueError(f"{name} holds a password: {redaction.ADVICE}")
        return self


def _texts(settings: Any, name: str = "") -> Iterator[tuple[str, str]]:  # noqa: ANN401 - JSON
    """The settings that are texts, with their names."""
    if isinstance(settings, dict):
        for key, value in settings.items():
            yield from _texts(value, f"{name}.{key}" if name else key)
    elif isinstance(settings, list):
        for value in settings:
            yield from _texts(value, name)
    elif isinstance(settings, str):
        yield name, settings
