"""The sections that say how object stores are reached: [s3], [gcs], [azure]; no credentials."""

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from models import ModelError
from models.stores import S3Options
from models.stores.address import Address
from pipeline.config.sections.base import Section


def _check_url(value: str) -> str:
    if value and not value.startswith(("http://", "https://")):
        raise ValueError("must be a URL: http://HOST:PORT or https://HOST")
    return value


Url = Annotated[str, AfterValidator(_check_url)]


class GcsSection(Section):
    """How to reach stores, catalogues and models on gs://; credentials are never here."""

    endpoint: Url = Field(
        "",
        description="URL of an object store that is not Google's; to http:// no credentials go",
    )


class AzureSection(Section):
    """How to reach stores, catalogues and models on abfss://; credentials are never here."""

    endpoint: Url = Field(
        "",
        description="URL of an object store that is not Azure's, to which the account is added",
    )


class S3Section(Section):
    """How to reach stores, catalogues and models on s3a://; credentials are never here."""

    endpoint: Url = Field("", description="URL of an object store that is not AWS's")
    region: str = Field("", description="region of the object store")
    profile: str = Field(
        "", description="profile in AWS's shared files, which hold the credentials"
    )
    path_style: Literal["auto", "on", "off"] = Field(
        "auto",
        description="on: the bucket stands in the URL's path, not in the host's name; "
        "auto: on where an endpoint is set",
    )
    staging: str = Field(
        "",
        description="prefix in any object store under which large models are shipped by s3",
    )

    @model_validator(mode="after")
    def _makes_options(self) -> Self:
        try:
            self.options()
            if self.staging:
                Address.parse(self.staging)
        except ModelError as error:
            raise ValueError(str(error)) from error
        return self

    def options(self) -> S3Options:
        """The section as the store's client takes it."""
        return S3Options(
            endpoint=self.endpoint or None,
            region=self.region or None,
            profile=self.profile or None,
            path_style={"on": True, "off": False}.get(self.path_style),
        )
