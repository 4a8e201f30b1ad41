"""The sections that say where data are: [store] and [catalogue]."""

from typing import Literal

from pydantic import Field, field_validator

from pipeline.config.encodings import java_encoding
from pipeline.config.sections.base import Section


class StoreSection(Section):
    """Where the tables, models and runs live."""

    path: str = Field(min_length=1, description="folder of the store, or s3a://BUCKET/KEY")


class CatalogueSection(Section):
    """The catalogue to read."""

    path: str = Field(
        min_length=1, description="file, or folder of files of one format, or s3a://BUCKET/KEY"
    )
    format: Literal["auto", "parquet", "csv", "jsonl"] = Field(
        "auto", description="format of the files; auto: by their names"
    )
    columns: dict[str, str] = Field(
        default_factory=dict,
        description="nitamono's column = the catalogue's column; equal names need no entry; "
        '"" leaves an optional column out',
    )
    encoding: str = Field(
        "UTF-8", description="encoding of CSV and JSON Lines files, for instance Shift_JIS"
    )
    delimiter: str = Field(
        ",", description="character between the fields of a CSV file", min_length=1, max_length=1
    )
    quote: str = Field(
        "auto",
        description='character around fields of CSV that hold delimiters or line breaks; "": none; '
        'auto: " in .csv, none in .tsv',
        pattern="^(auto|.?)$",
    )

    @field_validator("encoding")
    @classmethod
    def _known_encoding(cls, value: str) -> str:
        java_encoding(value)
        return value

    @field_validator("columns")
    @classmethod
    def _needed_columns(cls, value: dict[str, str]) -> dict[str, str]:
        if left_out := [name for name in ("item_id", "title") if value.get(name) == ""]:
            raise ValueError(f"{' and '.join(left_out)} can't be left out; name the column")
        return value
