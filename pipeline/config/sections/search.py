"""The sections that decide the neighbours: [index], [neighbors], [rules] and [rank]."""

from datetime import date
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from pipeline.config.sections.base import Section


def _as_date(value: str) -> str:
    try:
        return value and date.fromisoformat(value).isoformat()
    except ValueError as error:
        raise ValueError("not a date; write it as 2026-01-31") from error


class IndexSection(Section):
    """How the catalogue is cut into lists."""

    exact_below: int = Field(
        50_000, ge=0, description="catalogues with fewer vectors are searched exactly"
    )
    nlist: int = Field(0, ge=0, description="number of lists; 0: by the number of items")
    sample_items: int = Field(
        1_200_000,
        ge=1,
        description="vectors to train the quantiser on, at most; at least 16 a list are used",
    )
    seed: int = Field(
        0, ge=0, le=2**31 - 1, description="seed of the sample of vectors and of the centroids"
    )


class NeighborsSection(Section):
    """The search for neighbours."""

    k: int = Field(10, ge=1, le=1000, description="neighbours of an item, at most")
    reserve: int = Field(
        2,
        ge=0,
        le=1000,
        description="neighbours stored beyond k, for nights when some leave the catalogue",
    )
    target_recall: float = Field(
        0.97, gt=0, le=1, description="share of the true neighbours that should be found"
    )
    nprobe: int = Field(
        0, ge=0, description="lists searched for an item; 0: as many as target_recall needs"
    )
    max_probes: int = Field(
        0,
        ge=0,
        description="lists searched, at most, for an item with fewer than k neighbours; "
        "0: 16 times as many as for other items",
    )
    recall_sample: int = Field(1000, ge=1, le=10_000, description="items to measure recall on")
    mode: Literal["all", "new"] = Field(
        "all", description="new: only for items that the last published catalogue lacks"
    )
    where: str = Field(
        "", description="condition: only for items that match; with mode new: instead of new items"
    )
    worker_mb: int = Field(1500, ge=500, description="memory that a Python worker may use, in MB")
    partitions: int = Field(
        0, ge=0, description="Spark tasks of the join; 0: one for each group of lists"
    )
    seed: int = Field(0, ge=0, le=2**31 - 1, description="seed of the sample for recall")


class RulesSection(Section):
    """What an item's list may hold; rules act before the best are chosen."""

    eligible: str = Field(
        "", description="condition: only items that match are shown, for instance stock > 0"
    )
    query: str = Field("", description="condition: only items that match get a list")
    same: list[str] = Field(
        default_factory=list,
        description="columns in which an item and its neighbours must be equal",
    )
    differ: list[str] = Field(
        default_factory=list,
        description="columns in which an item and its neighbours must not be equal",
    )
    collapse: str = Field(
        "",
        description="column that variants share: a list holds one item of each group, "
        "and none of the item's own group",
    )
    max_per: dict[str, Annotated[int, Field(ge=1)]] = Field(
        default_factory=dict, description="column = how many items of one value a list may hold"
    )
    price_ratio: list[float] = Field(
        default_factory=list,
        description="lowest and highest price of a neighbour, as a multiple of the item's: "
        "[0.5, 2.0]",
    )
    min_score: float = Field(-1.0, ge=-1, le=1, description="lowest score of a neighbour")
    max_score: float = Field(
        1.0, ge=-1, le=1, description="highest score; items that are nearer are left out"
    )
    deny: str = Field(
        "",
        description="file of items, or of pairs, that are never shown: item_id, similar_id",
    )

    @field_validator("price_ratio")
    @classmethod
    def _two_ascending(cls, value: list[float]) -> list[float]:
        if value and (len(value) != 2 or not 0 <= value[0] <= value[1]):
            raise ValueError("must be two numbers, the least and the greatest: [0.5, 2.0]")
        return value

    @model_validator(mode="after")
    def _scores_ascend(self) -> Self:
        if self.min_score > self.max_score:
            raise ValueError(f"min_score is {self.min_score}, above max_score, {self.max_score}")
        return self

    @model_validator(mode="after")
    def _differs_from_same(self) -> Self:
        if both := sorted(set(self.same) & set(self.differing)):
            raise ValueError(f"{', '.join(both)}: no item can be both equal and different in it")
        return self

    @property
    def differing(self) -> list[str]:
        """The columns in which an item and its neighbours have different values, or none."""
        return [*([self.collapse] if self.collapse else []), *self.differ]

    @property
    def capped(self) -> list[str]:
        """The columns of which a list holds so many items of one value."""
        return [*([self.collapse] if self.collapse else []), *sorted(self.max_per)]

    def columns(self) -> dict[str, list[str]]:
        """The columns that each rule compares."""
        return {
            "same": list(self.same),
            "differ": list(self.differ),
            "collapse": [self.collapse] if self.collapse else [],
            "max_per": list(self.max_per),
            "price_ratio": ["price"] if self.price_ratio else [],
        }


class EditsSection(Section):
    """What people write by hand about what is shown: pins, boosts, burials and denials."""

    path: str = Field(
        "",
        description="file of edits: item_id, item_where, similar_id, similar_where, action, value, "
        "from, until",
    )
    table: str = Field("", description="a table of edits that Spark can read, CATALOG.SCHEMA.TABLE")
    date: str = Field(
        "",
        description="day on which edits are in force, YYYY-MM-DD; empty: --date, or today in "
        "catalogue.timezone",
    )

    _is_date = field_validator("date")(_as_date)

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        if self.path and self.table:
            raise ValueError("give path or table, not both")
        return self

    @property
    def exists(self) -> bool:
        """Whether there may be edits."""
        return bool(self.path or self.table)


# What a boost adds to the cosine at most, or takes from it.
_Weight = Annotated[float, Field(ge=-1, le=1)]


class PriceBoost(Section):
    """rank.price: neighbours of about the same price."""

    weight: _Weight = Field(description="what is added to the cosine for equal prices")
    half: float = Field(2.0, ge=1.1, le=1000, description="ratio of the two prices that halves it")


class FreshBoost(Section):
    """rank.fresh: neighbours that came out lately."""

    column: str = Field(description="a further column of type date: when the item came out")
    weight: _Weight = Field(description="what is added to the cosine on that day")
    half_days: float = Field(30.0, gt=0, description="days in which it halves")
    date: str = Field(
        "",
        description="day that ages are counted to, YYYY-MM-DD; empty: --date, or today in "
        "catalogue.timezone",
    )

    _is_date = field_validator("date")(_as_date)


class RankSection(Section):
    """What ranks an item's neighbours beside the cosine: soft preferences."""

    same: dict[str, _Weight] = Field(
        default_factory=dict,
        description="column = what is added to the cosine where both have the same value",
    )
    price: PriceBoost | None = Field(
        None, description="neighbours of about the same price: weight, half"
    )
    value: dict[str, _Weight] = Field(
        default_factory=dict,
        description="column of numbers = what is added for its greatest values; for others as much "
        "of it as the share of items with a lower value",
    )
    fresh: FreshBoost | None = Field(
        None, description="neighbours that came out lately: column, weight, half_days"
    )

    exposure: float = Field(
        0.0,
        ge=0,
        le=1,
        description="share of a neighbour's mean cosine to its own ten nearest that is taken from "
        "its score, so that few items are in very many lists and few in none",
    )

    rerank: bool = Field(
        False,
        description="compare an item with its best candidates once more, by all their letters and "
        "by the words and codes of their titles, and rank them by that",
    )
    diversity: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="weight of the nearness to items that a list has already, when the next is "
        "chosen: 0.3 makes lists diverse",
    )
    depth: int = Field(
        0,
        ge=0,
        le=1000,
        description="candidates that a list is chosen from with rerank or diversity; 0: 3 times "
        "neighbors.k with diversity, 2 times with rerank alone",
    )

    @model_validator(mode="after")
    def _depth_is_used(self) -> Self:
        if self.depth and not self.chooses:
            raise ValueError(
                "depth is for lists that are ranked again or diverse; set rerank = true, or "
                "diversity, to 0.3 for instance"
            )
        return self

    @property
    def exists(self) -> bool:
        """Whether anything is set."""
        return self != RankSection()

    @property
    def has_boosts(self) -> bool:
        """Whether anything is added to the cosine in the search itself."""
        return self.model_copy(update={"rerank": False, "diversity": 0.0, "depth": 0}).exists

    @property
    def chooses(self) -> bool:
        """Whether lists are chosen from more candidates than they have items."""
        return self.rerank or bool(self.diversity)

    def candidates(self, k: int) -> int:
        """How many candidates lists of k items are chosen from."""
        return max(k, self.depth or (3 if self.diversity else 2) * k) if self.chooses else k

    def columns(self) -> dict[str, list[str]]:
        """The columns that each setting reads."""
        return {
            "same": sorted(self.same),
            "price": ["price"] if self.price else [],
            "value": sorted(self.value),
            "fresh": [self.fresh.column] if self.fresh else [],
        }


class VariantSection(Section):
    """Another table of the same catalogue, for a test of two kinds of lists."""

    name: str = Field(
        pattern=r"^[a-z0-9][a-z0-9_-]{0,29}$",
        description="small letters, digits, _ and -; NAME@b in commands is variant b of NAME",
    )
    k: int = Field(0, ge=0, le=1000, description="neighbours of an item; 0: neighbors.k")
    rules: RulesSection | None = Field(
        None, description="[variant.rules], in place of all of [rules]; without it: [rules]"
    )
    rank: RankSection | None = Field(
        None, description="[variant.rank], in place of all of [rank]; without it: [rank]"
    )
