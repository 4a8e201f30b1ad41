"""Addresses of objects and prefixes in object stores."""

import re
from dataclasses import dataclass, replace

from models.errors import ModelError

S3_SCHEMES = ("s3", "s3a")
GCS_SCHEME = "gs"
AZURE_SCHEMES = ("abfss", "abfs")
SCHEMES = (*S3_SCHEMES, GCS_SCHEME, *AZURE_SCHEMES)
_AZURE_BUCKET = re.compile(r"[^@]+@[^@.]+\.dfs\.[^@]+")
_FORMS = {
    "gs": "a Google Cloud Storage address as gs://BUCKET/KEY",
    "abfss": "an Azure address as abfss://CONTAINER@ACCOUNT.dfs.core.windows.net/KEY",
    "abfs": "an Azure address as abfss://CONTAINER@ACCOUNT.dfs.core.windows.net/KEY",
}


@dataclass(frozen=True)
class Address:
    """The address of an object or prefix.

    Attributes:
        scheme: one of SCHEMES.
        bucket: name of the bucket; on Azure CONTAINER@ACCOUNT.dfs.core.windows.net.
        key: key of an object; a prefix if it ends in '/' or is empty.
    """

    scheme: str
    bucket: str
    key: str

    @classmethod
    def parse(cls, uri: str) -> "Address":
        """Parse s3://BUCKET/KEY, or s3a:// as Hadoop writes it, gs:// or, for Azure, abfss://.

        The key is all text after the bucket, unchanged: nothing in it is an escape, a query or a
        fragment, so '%', '+', '#', '?' and spaces stand for themselves.

        Raises:
            ModelError: the text is no such address.
        """
        scheme, separator, rest = uri.partition("://")
        bucket, _, key = rest.partition("/")
        is_whole = bucket and (scheme not in AZURE_SCHEMES or _AZURE_BUCKET.fullmatch(bucket))
        if scheme not in SCHEMES or not separator or not is_whole:
            form = _FORMS.get(scheme, "an S3 address as s3://BUCKET/KEY")
            raise ModelError(f"{uri}: write {form}")
        return cls(scheme, bucket, key)

    @property
    def is_prefix(self) -> bool:
        """Whether it can only be a directory."""
        return not self.key or self.key.endswith("/")

    @property
    def folder(self) -> "Address":
        """The prefix of what lies below it, with a slash at its end."""
        return self if self.is_prefix else self.with_key(f"{self.key}/")

    def child(self, name: str) -> "Address":
        """The address of a relative path below this one."""
        return self.with_key(self.folder.key + name)

    def with_key(self, key: str) -> "Address":
        """The address of another key in the same bucket."""
        return replace(self, key=key)

    def __str__(self) -> str:
        return f"{self.scheme}://{self.bucket}/{self.key}"
