"""The sections that say where data are: [store], [catalogue] and [s3]."""

from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from models import ModelError
from models.s3 import S3Options
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


class S3Section(Section):
    """How to reach the object store of store, catalogue and model; credentials are never here."""

    endpoint: str = Field("", description="URL of an object store that is not AWS's")
    region: str = Field("", description="region of the object store")
    profile: str = Field(
        "", description="profile in AWS's shared files, which hold the credentials"
    )
    path_style: Literal["auto", "on", "off"] = Field(
        "auto",
        description="on: the bucket stands in the URL's path, not in the host's name; "
        "auto: on where an endpoint is set",
    )
    staging: str = Field("", description="s3:// prefix under which large models are shipped by s3")

    @field_validator("endpoint")
    @classmethod
    def _is_url(cls, value: str) -> str:
        if value and not value.startswith(("http://", "https://")):
            raise ValueError("must be a URL: http://HOST:PORT or https://HOST")
        return value

    @model_validator(mode="after")
    def _makes_options(self) -> Self:
        try:
            self.options()
        except ModelError as error:
            raise ValueError(str(error)) from error
        return self

    def options(self) -> S3Options:
        """The section as the clients of the object store take it."""
        return S3Options(
            endpoint=self.endpoint or None,
            region=self.region or None,
            profile=self.profile or None,
            staging=self.staging or None,
            path_style={"on": True, "off": False}.get(self.path_style),
        )
