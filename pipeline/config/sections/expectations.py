"""The section of what a catalogue is expected to be like: [expect]."""

from typing import Annotated

from pydantic import Field

from pipeline.config.sections.base import Section

_Share = Annotated[float, Field(ge=0, le=1)]
_Count = Annotated[int, Field(ge=0)]


class ExpectSection(Section):
    """What the catalogue must be like: if it is not, the run ends before anything is computed."""

    min_rows: float = Field(
        -1.0,
        ge=-1,
        le=1,
        description="the least number of items, as a share of the published night's; 0: any; -1: "
        "publish.min_rows",
    )
    max_rows: float = Field(
        0.0,
        ge=0,
        description="the greatest number of items, as a multiple of the published night's; 0: any",
    )
    max_new: _Share = Field(
        1.0,
        description="the largest share of items that the published night did not have; 1: any",
    )
    max_changed: _Share = Field(
        1.0,
        description="the largest share of the published night's items whose title or description "
        "is another; 1: any",
    )
    max_gone: _Share = Field(
        0.5,
        description="the largest share of the published night's items that are gone; 1: any",
    )
    max_quarantined: _Share = Field(
        0.05, description="the largest share of the catalogue's rows in quarantine; 1: any"
    )
    max_empty_titles: _Share = Field(
        0.5, description="the largest share of items without a title; 1: any"
    )
    max_empty_descriptions: _Share = Field(
        1.0, description="the largest share of items without a description; 1: any"
    )
    max_null: dict[str, _Share] = Field(
        default_factory=dict,
        description="nitamono's column = the largest share of items that have nothing in it",
    )
    min_distinct: dict[str, _Count] = Field(
        default_factory=dict,
        description="nitamono's column = the least number of different values, counted to about "
        "5%; not of item_id and description",
    )
    max_distinct: dict[str, _Count] = Field(
        default_factory=dict, description="as min_distinct, the greatest number"
    )
    max_text_length: int = Field(
        0, ge=0, description="the longest title or description, in characters; 0: any"
    )
    min_japanese: _Share = Field(
        0.0,
        description="the least share of kana and kanji among the letters of the titles; 0: any",
    )
    max_japanese: _Share = Field(
        1.0, description="the largest share of kana and kanji among those letters; 1: any"
    )
    max_word_drift: _Share = Field(
        1.0,
        description="how far the frequencies of the words may be from the published night's, as "
        "their Jensen-Shannon divergence in bits; checked after tokenize; 1: any",
    )

    @property
    def compares_items(self) -> bool:
        """Whether a limit needs to know which items are new, changed or gone."""
        return min(self.max_new, self.max_changed, self.max_gone) < 1
