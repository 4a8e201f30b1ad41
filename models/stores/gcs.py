"""Google Cloud Storage, by obstore."""

import json
from datetime import timedelta
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from models.stores.address import Address
from models.stores.client import READ_SECONDS
from models.stores.obstores import ObstoreClient, client_settings

if TYPE_CHECKING:
    from obstore.store import GCSStore
    from pyarrow.fs import FileSystem

# What obstore takes for a store that asks for no credentials.
_ANONYMOUS = {"disable_oauth": True, "client_email": "", "private_key": "", "private_key_id": ""}


class GcsClient(ObstoreClient):
    """The client of one bucket."""

    chain = (
        "GOOGLE_APPLICATION_CREDENTIALS names a file, or gcloud auth application-default login has "
        "made one, or the host has a service account"
    )

    def __init__(self, bucket: str, endpoint: str | None) -> None:
        """Make a client.

        Args:
            bucket: name of the bucket.
            endpoint: URL of a store that is not Google's; to one without TLS no credentials go.

        Raises:
            ModelError: obstore is not installed.
        """
        self._bucket, self._endpoint = bucket, endpoint or ""
        self._settings = client_settings(self._endpoint)

    @property
    def _is_anonymous(self) -> bool:
        return self._endpoint.startswith("http://")

    def make(self) -> "GCSStore":
        from obstore.store import GCSStore

        config: dict[str, str] = {}
        if self._is_anonymous:
            key = _ANONYMOUS | {"gcs_base_url": self._endpoint}
            config["service_account_key"] = json.dumps(key)
        elif self._endpoint:
            config["base_url"] = self._endpoint
        return GCSStore(self._bucket, config=config, **self._settings)  # type: ignore[arg-type]

    def arrow(self, address: Address) -> "tuple[FileSystem, str]":
        from pyarrow.fs import GcsFileSystem

        endpoint = urlsplit(self._endpoint)
        system = GcsFileSystem(
            anonymous=self._is_anonymous,
            scheme=endpoint.scheme or "https",
            endpoint_override=endpoint.netloc or None,
            retry_time_limit=timedelta(seconds=5 * READ_SECONDS),
        )
        return system, f"{self._bucket}/{address.key}"
