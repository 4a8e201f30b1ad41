"""Azure's object store (Data Lake Storage Gen2, Blob Storage), by obstore."""

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from models.stores.address import Address
from models.stores.obstores import ObstoreClient, client_settings

if TYPE_CHECKING:
    from obstore.store import AzureStore
    from pyarrow.fs import FileSystem

KEY_VARIABLE = "AZURE_STORAGE_ACCOUNT_KEY"
# Any of them names an identity, which comes before that of Azure's command line.
_IDENTITY_VARIABLES = (
    KEY_VARIABLE,
    "AZURE_CLIENT_ID",
    "AZURE_FEDERATED_TOKEN_FILE",
    "IDENTITY_ENDPOINT",
    "MSI_ENDPOINT",
)


class AzureClient(ObstoreClient):
    """The client of one container."""

    chain = (
        "AZURE_CLIENT_ID, AZURE_TENANT_ID and AZURE_CLIENT_SECRET or AZURE_FEDERATED_TOKEN_FILE, "
        f"or {KEY_VARIABLE}, or az login, or the host's managed identity"
    )

    def __init__(self, bucket: str, endpoint: str | None) -> None:
        """Make a client.

        Args:
            bucket: CONTAINER@ACCOUNT.dfs.core.windows.net.
            endpoint: URL of a store that is not Azure's, without the account.

        Raises:
            ModelError: obstore is not installed.
        """
        self._container, _, host = bucket.partition("@")
        self._account, _, suffix = host.partition(".dfs.")
        self._suffix, self._endpoint = suffix, (endpoint or "").rstrip("/")
        self._settings = client_settings(self._endpoint)

    def make(self) -> "AzureStore":
        from obstore.store import AzureStore

        # As every other variable of Azure's, obstore reads the account's key from the environment.
        return AzureStore(
            self._container,
            account_name=self._account,
            endpoint=f"{self._endpoint}/{self._account}"
            if self._endpoint
            else f"https://{self._account}.blob.{self._suffix}",
            use_azure_cli=_has_azure_login(),
            **self._settings,  # type: ignore[arg-type]
        )

    def arrow(self, address: Address) -> "tuple[FileSystem, str]":
        from pyarrow.fs import AzureFileSystem

        endpoint = urlsplit(self._endpoint)
        authority = {"blob": f".blob.{self._suffix}", "dfs": f".dfs.{self._suffix}"}
        system = AzureFileSystem(
            self._account,
            account_key=os.environ.get(KEY_VARIABLE),
            blob_storage_authority=endpoint.netloc or authority["blob"],
            dfs_storage_authority=endpoint.netloc or authority["dfs"],
            blob_storage_scheme=endpoint.scheme or "https",
            dfs_storage_scheme=endpoint.scheme or "https",
        )
        return system, f"{self._container}/{address.key}"


def _has_azure_login() -> bool:
    """Whether Azure's command line has logged somebody in, and no variable names an identity."""
    if any(os.environ.get(name) for name in _IDENTITY_VARIABLES) or not shutil.which("az"):
        return False
    folder = os.environ.get("AZURE_CONFIG_DIR") or Path.home() / ".azure"
    return Path(folder, "azureProfile.json").is_file()
