"""The sections that say where data are: [store] and [catalogue]."""

import re
from typing import Literal, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field, field_validator, model_validator

from pipeline import conditions, redaction
from pipeline.config.encodings import java_encoding
from pipeline.config.sections.base import Section


class StoreSection(Section):
    """Where the tables, models and runs live."""

    path: str = Field(
        min_length=1, description="folder of the store, or an address: s3a://, gs://, abfss://"
    )


# A variable of the environment in a connector's options.
ENVIRONMENT_NAME = re.compile(r"\$\{(\w+)\}")
# A further column's name: a condition and Spark's SQL take it without quotation marks.
_COLUMN_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")
# Names that tables and steps of theirs have for columns of their own.
_RESERVED_NAMES = {
    *("age", "part", "ranked", "true", "false", "null", "case", "when", "end", "and", "or", "not"),
    *("asks", "boost", "capped", "change", "corrupt", "corrupt_reason", "denied", "differ"),
    *("action", "edits", "edited_as_item", "edited_as_neighbor", "edit_denied", "edit_micro"),
    *("is_paired", "micro"),
    *("duplicate", "eligible", "error", "floor", "half", "input", "is_item", "kind", "list"),
    *("matches", "neighbors", "numbers_lost", "order", "output", "paired", "probes", "rank"),
    *("ranked_by", "raw", "reason", "reasons", "row", "same", "score", "shown", "similar_id"),
    *("text", "tokens", "unreadable", "variant", "vector", "version"),
}
ColumnType = Literal["string", "number", "boolean", "date"]
# The formats whose files nitamono lists and checks itself.
FILE_FORMATS = ("parquet", "csv", "jsonl", "orc", "avro")


class CatalogueSection(Section):
    """The catalogue to read: `path`, `table` or `query` says where it is."""

    path: str = Field(
        "",
        description="file, or folder of files of one format, or the address of one; {date} stands "
        "for --date, {latest} for the newest folder of its place",
    )
    table: str = Field("", description="a table that Spark can read, as CATALOG.SCHEMA.TABLE")
    query: str = Field(
        "", description="one SELECT whose rows are the catalogue; {date} stands for --date"
    )
    as_of: str = Field(
        "",
        description="a snapshot, version or time of `table`, which must be of Iceberg or Delta "
        "Lake; empty: as it is now",
    )
    format: str = Field(
        "auto",
        description=f"format of the files: {', '.join(FILE_FORMATS)}; auto: by their names; "
        "another name is that of a connector of Spark's, jdbc for instance",
        pattern=r"^[\w.$-]+$",
    )
    options: dict[str, str] = Field(
        default_factory=dict,
        description="options for the connector that `format` names; ${NAME} in them stands for "
        "the environment's variable NAME",
    )
    timezone: str = Field("UTC", description="time zone of today's date, which {date} stands for")
    require_success: bool = Field(
        False, description="whether a folder of files is complete only when it holds _SUCCESS"
    )
    columns: dict[str, str] = Field(
        default_factory=dict,
        description="nitamono's column = the catalogue's column; equal names need no entry; "
        '"" leaves an optional column out; other names are further columns, for rules and fields',
    )
    types: dict[str, ColumnType] = Field(
        default_factory=dict,
        description="further column = its type: string, which it has without an entry, number, "
        "boolean or date",
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

    @field_validator("timezone")
    @classmethod
    def _known_timezone(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (ZoneInfoNotFoundError, ValueError) as error:
            raise ValueError(f"{value}: no such zone; write for instance Asia/Tokyo") from error
        return value

    @field_validator("options")
    @classmethod
    def _holds_no_secret(cls, value: dict[str, str]) -> dict[str, str]:
        for name, text in value.items():
            if redaction.holds_secret(name, ENVIRONMENT_NAME.sub("", text)):
                raise ValueError(
                    f"{name} is a secret, or holds one: keep it in an environment variable, and "
                    f'write {name} = "${{VARIABLE}}"'
                )
        return value

    @property
    def uses_files(self) -> bool:
        """Whether the catalogue is files that nitamono lists itself."""
        return not (self.table or self.query) and self.format in ("auto", *FILE_FORMATS)

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        named = [name for name in ("path", "table", "query") if getattr(self, name)]
        if len(named) > 1:
            raise ValueError(f"{' and '.join(named)} are set; a catalogue has one of them")
        if not named and self.uses_files:
            raise ValueError("must say where the catalogue is: set path, table or query")
        if self.as_of and not self.table:
            raise ValueError("as_of is of a table; set table")
        if (self.table or self.query) and self.format != "auto":
            raise ValueError(f"format = {self.format!r} is of files or a connector; leave it out")
        if self.options and (self.uses_files or self.table or self.query):
            raise ValueError("options are a connector's; set format to its name, jdbc for instance")
        return self

    @field_validator("columns")
    @classmethod
    def _needed_columns(cls, value: dict[str, str]) -> dict[str, str]:
        if left_out := [name for name in ("item_id", "title") if value.get(name) == ""]:
            raise ValueError(f"{' and '.join(left_out)} can't be left out; name the column")
        for name in value.keys() - conditions.COLUMNS.keys():
            is_reserved = name in _RESERVED_NAMES or name.endswith(("_placeholder", "_tokens"))
            if is_reserved or not _COLUMN_NAME.fullmatch(name):
                why = "nitamono uses this name itself" if is_reserved else "not a column's name"
                raise ValueError(
                    f"{why}: {name}; call a further column by another one, of small letters, "
                    f"digits and _; nitamono's own columns are {', '.join(conditions.COLUMNS)}"
                )
        return value

    @model_validator(mode="after")
    def _types_of_further(self) -> Self:
        for name in self.types:
            if name not in self.further:
                raise ValueError(
                    f"types.{name}: types are for further columns, which columns maps: "
                    f"{', '.join(self.further) or 'there are none'}"
                )
        return self

    @property
    def further(self) -> dict[str, str]:
        """The further columns and their types, in the order of their names."""
        names = sorted(self.columns.keys() - conditions.COLUMNS.keys())
        return {name: self.types.get(name, "string") for name in names if self.columns[name]}
