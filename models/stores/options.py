"""How object stores are reached. Credentials come from each cloud's own chain, never from here."""

from dataclasses import dataclass
from urllib.parse import urlsplit

from models.errors import ModelError
from models.stores.address import Address


@dataclass(frozen=True)
class S3Options:
    """How to reach a store that speaks S3.

    Attributes:
        endpoint: URL of a store that is not AWS's.
        region: region, if boto3's own settings do not name it.
        profile: profile in boto3's shared config and credentials files; must exist on every host.
        path_style: whether the bucket stands in the URL's path, not in the host's name; None: only
            if there is an endpoint, as few of those have a host name for each bucket.
    """

    endpoint: str | None = None
    region: str | None = None
    profile: str | None = None
    path_style: bool | None = None

    def __post_init__(self) -> None:
        """Keep credentials out of what is pickled and written down.

        Raises:
            ModelError: the endpoint holds a user or a password.
        """
        if self.endpoint and "@" in urlsplit(self.endpoint).netloc:
            raise ModelError(
                "the S3 endpoint holds credentials; leave them to boto3's own settings: "
                "its environment variables, its shared files or the host's role"
            )

    @property
    def uses_path_style(self) -> bool:
        """Whether the bucket stands in the URL's path."""
        return self.endpoint is not None if self.path_style is None else self.path_style


@dataclass(frozen=True)
class StoreOptions:
    """How to reach the object store of any address.

    Attributes:
        s3: for s3:// and s3a://.
        gcs_endpoint: for gs://, the URL of a store that is not Google's.
        azure_endpoint: for abfss://, the URL of a store that is not Azure's, without the account.
        staging: a prefix in an object store, under which `models.shipping.ship` puts local models.
    """

    s3: S3Options = S3Options()
    gcs_endpoint: str | None = None
    azure_endpoint: str | None = None
    staging: str | None = None

    def __post_init__(self) -> None:
        """Check the options.

        Raises:
            ModelError: an endpoint holds a user or a password, or staging is no address.
        """
        for endpoint in (self.gcs_endpoint, self.azure_endpoint):
            if endpoint and "@" in urlsplit(endpoint).netloc:
                raise ModelError(
                    "the endpoint holds credentials; leave them to the cloud's own settings"
                )
        if self.staging is not None:
            Address.parse(self.staging)
