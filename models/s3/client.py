"""The object store: its options, addresses and clients, and its errors as ModelErrors."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from models.errors import ModelError

if TYPE_CHECKING:
    from pyarrow.fs import S3FileSystem

# What a store answers that can not delete several objects by one request.
_UNKNOWN_REQUEST = (405, 501)
# Attempts at one request; botocore makes them, with growing pauses.
REQUEST_ATTEMPTS = 6
_CONNECT_SECONDS = 10
_READ_SECONDS = 60


@dataclass(frozen=True)
class S3Options:
    """How to reach an object store. Credentials come from boto3's own chain, never from here.

    Attributes:
        endpoint: URL of a store that is not AWS's.
        region: region, if boto3's own settings do not name it.
        profile: profile in boto3's shared config and credentials files; must exist on every host.
        staging: an s3:// prefix under which `models.shipping.ship` puts local models.
        path_style: whether the bucket stands in the URL's path, not in the host's name; None: only
            if there is an endpoint, as few of those have a host name for each bucket.
    """

    endpoint: str | None = None
    region: str | None = None
    profile: str | None = None
    staging: str | None = None
    path_style: bool | None = None

    @property
    def uses_path_style(self) -> bool:
        """Whether the bucket stands in the URL's path."""
        return self.endpoint is not None if self.path_style is None else self.path_style

    def __post_init__(self) -> None:
        """Keep credentials out of what is pickled and written down.

        Raises:
            ModelError: the endpoint holds a user or a password, or staging is no address.
        """
        if self.endpoint and "@" in urlsplit(self.endpoint).netloc:
            raise ModelError(
                "the S3 endpoint holds credentials; leave them to boto3's own settings: "
                "its environment variables, its shared files or the host's role"
            )
        if self.staging is not None:
            Address.parse(self.staging)


@dataclass(frozen=True)
class Address:
    """The address of an object or prefix.

    Attributes:
        bucket: name of the bucket.
        key: key of an object; a prefix if it ends in '/' or is empty.
    """

    bucket: str
    key: str

    @classmethod
    def parse(cls, uri: str) -> "Address":
        """Parse s3://BUCKET/KEY, or s3a://BUCKET/KEY as Hadoop writes it.

        The key is all text after the bucket, unchanged: nothing in it is an escape, a query or a
        fragment, so '%', '+', '#', '?' and spaces stand for themselves.

        Raises:
            ModelError: the text is no such address.
        """
        scheme, separator, rest = uri.partition("://")
        bucket, _, key = rest.partition("/")
        if scheme not in ("s3", "s3a") or not separator or not bucket:
            raise ModelError(f"{uri}: write an S3 address as s3://BUCKET/KEY")
        return cls(bucket, key)

    @property
    def is_prefix(self) -> bool:
        """Whether it can only be a directory."""
        return not self.key or self.key.endswith("/")

    def child(self, name: str) -> "Address":
        """The address of a relative path below this one."""
        prefix = self.key if self.is_prefix else f"{self.key}/"
        return Address(self.bucket, prefix + name)

    def __str__(self) -> str:
        return f"s3://{self.bucket}/{self.key}"


def connect(options: S3Options) -> Any:  # noqa: ANN401 - boto3 makes its classes as it runs
    """A boto3 client of the store.

    Raises:
        ModelError: there is no such profile, or an option is malformed.
    """
    import boto3
    from botocore.config import Config

    with translated_errors(options.endpoint or "S3"):
        session = boto3.Session(profile_name=options.profile, region_name=options.region)
        return session.client(
            "s3",
            endpoint_url=options.endpoint,
            config=Config(
                retries={"mode": "standard", "total_max_attempts": REQUEST_ATTEMPTS},
                connect_timeout=_CONNECT_SECONDS,
                read_timeout=_READ_SECONDS,
                s3={"addressing_style": "path" if options.uses_path_style else "auto"},
                # Many stores do not know the newer checksums; models have a sha256 instead.
                request_checksum_calculation="when_required",
                response_checksum_validation="when_required",
            ),
        )


def arrow_filesystem(options: S3Options) -> "S3FileSystem":
    """The store as Arrow reads and writes it, for this process only: it holds credentials.

    Raises:
        ModelError: there is no such profile, or an option is malformed.
    """
    import boto3
    from pyarrow.fs import AwsStandardS3RetryStrategy, S3FileSystem

    if options.endpoint:
        # As for boto3's client; Arrow has no argument for it.
        os.environ.setdefault("AWS_REQUEST_CHECKSUM_CALCULATION", "when_required")
    with translated_errors(options.endpoint or "S3"):
        session = boto3.Session(profile_name=options.profile, region_name=options.region)
        credentials = session.get_credentials()
        keys = credentials.get_frozen_credentials() if credentials else None
        endpoint = urlsplit(options.endpoint or "")
        return S3FileSystem(
            access_key=keys and keys.access_key,
            secret_key=keys and keys.secret_key,
            session_token=keys and keys.token,
            region=options.region or session.region_name,
            scheme=endpoint.scheme or None,
            endpoint_override=endpoint.netloc or None,
            force_virtual_addressing=bool(options.endpoint) and not options.uses_path_style,
            connect_timeout=_CONNECT_SECONDS,
            request_timeout=_READ_SECONDS,
            retry_strategy=AwsStandardS3RetryStrategy(max_attempts=REQUEST_ATTEMPTS),
        )


def is_not_found(error: Exception) -> bool:
    """Whether an error of boto3's says that there is no such object."""
    code = getattr(error, "response", {}).get("Error", {}).get("Code")
    return code in ("404", "NoSuchKey", "NotFound")


@contextmanager
def translated_errors(subject: object) -> Iterator[None]:
    """Turn boto3's errors into a ModelError that names the subject and says what to do.

    Args:
        subject: the address or endpoint that the block works on.
    """
    from boto3.exceptions import Boto3Error, RetriesExceededError
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except ClientError as error:
        raise ModelError(f"{subject}: {_advice(error)}") from error
    except RetriesExceededError as error:
        last = error.last_exception
        raise ModelError(f"{subject}: broke off {REQUEST_ATTEMPTS} times: {last}") from error
    except (BotoCoreError, Boto3Error, ValueError) as error:
        hint = {
            "NoCredentialsError": "; give boto3 some: environment variables, a profile, a role",
            "PartialCredentialsError": "; give boto3 both the key's id and the secret",
            "ProfileNotFound": "; it must be in boto3's files on every host",
            "EndpointConnectionError": "; look at the endpoint and the network",
        }.get(type(error).__name__, "")
        raise ModelError(f"{subject}: {error}{hint}") from error


def _advice(error: Any) -> str:  # noqa: ANN401 - botocore's ClientError
    code = error.response.get("Error", {}).get("Code", "")
    if code in ("403", "AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch"):
        return f"access denied ({code}); look at the credentials boto3 finds and at the policy"
    if is_not_found(error):
        return "no such object; look at the address"
    if code == "NoSuchBucket":
        return "no such bucket; look at the address and the endpoint"
    return str(error)


def delete_objects(client: Any, bucket: str, keys: list[str]) -> list[str]:  # noqa: ANN401 - boto3 makes its classes as it runs
    """Delete objects by one request, or one by one where the store knows no such request.

    Args:
        client: what `connect` returned.
        bucket: the bucket.
        keys: up to 1,000 keys.

    Returns:
        for each object that was not deleted, its key and what the store says of it.

    Raises:
        ClientError: the store refuses the whole request.
    """
    from botocore.exceptions import ClientError

    if not keys:
        return []
    request = {"Objects": [{"Key": key} for key in keys], "Quiet": True}
    try:
        answer = client.delete_objects(Bucket=bucket, Delete=request)
    except ClientError as error:
        if error.response["ResponseMetadata"]["HTTPStatusCode"] not in _UNKNOWN_REQUEST:
            raise
        for key in keys:
            client.delete_object(Bucket=bucket, Key=key)
        return []
    return [f"{e['Key']} ({e['Code']}: {e['Message']})" for e in answer.get("Errors", ())]
