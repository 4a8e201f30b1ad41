"""S3, and stores that speak its protocol, by boto3."""

import os
import random
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from models.stores.address import Address
from models.stores.client import (
    BLOCK_BYTES,
    CONNECT_SECONDS,
    PART_BYTES,
    READ_SECONDS,
    REQUEST_ATTEMPTS,
    ExistingObjectError,
    MissingObjectError,
    ObjectStoreError,
    Stat,
)
from models.stores.options import S3Options

if TYPE_CHECKING:
    from boto3.s3.transfer import TransferConfig
    from pyarrow.fs import FileSystem

# What a store answers that can not delete several objects by one request.
_UNKNOWN_REQUEST = (405, 501)
# 409: another process is writing the object at this moment.
_EXISTS = (409, 412)


class S3Client:
    """The client of one store."""

    def __init__(self, options: S3Options) -> None:
        """Make a client; it connects when it is first used."""
        self._options = options

    @cached_property
    def boto(self) -> Any:  # noqa: ANN401 - boto3 makes its classes as it runs
        """The boto3 client."""
        from botocore.config import Config

        return self._session().client(
            "s3",
            endpoint_url=self._options.endpoint,
            config=Config(
                retries={"mode": "standard", "total_max_attempts": REQUEST_ATTEMPTS},
                connect_timeout=CONNECT_SECONDS,
                read_timeout=READ_SECONDS,
                s3={"addressing_style": "path" if self._options.uses_path_style else "auto"},
                # Many stores do not know the newer checksums; models have a sha256 instead.
                request_checksum_calculation="when_required",
                response_checksum_validation="when_required",
            ),
        )

    def get(self, address: Address) -> bytes:
        with translated_errors(address):
            content: bytes = self.boto.get_object(**_of(address))["Body"].read()
        return content

    def blocks(self, address: Address, stat: Stat) -> Iterator[bytes]:
        from botocore.exceptions import BotoCoreError

        done, attempt = 0, 0
        with translated_errors(address):
            while done < stat.st_size:
                try:
                    body = self.boto.get_object(
                        **_of(address), Range=f"bytes={done}-", IfMatch=stat.etag
                    )["Body"]
                    for block in body.iter_chunks(BLOCK_BYTES):
                        done += len(block)
                        yield block
                except BotoCoreError:
                    attempt += 1
                    if attempt == REQUEST_ATTEMPTS:
                        raise
                    time.sleep(random.uniform(0.5, 1) * 2**attempt / 4)  # noqa: S311 - no secret

    def head(self, address: Address) -> Stat:
        with translated_errors(address):
            head = self.boto.head_object(**_of(address))
        return _stat(head, head["ContentLength"], head["Metadata"])

    def put(self, address: Address, content: bytes) -> None:
        with translated_errors(address):
            self.boto.put_object(**_of(address), Body=content)

    def create(self, address: Address, content: bytes) -> None:
        with translated_errors(address):
            self.boto.put_object(**_of(address), Body=content, IfNoneMatch="*")

    def upload(self, address: Address, source: Path, metadata: Mapping[str, str]) -> None:
        extra = {"ExtraArgs": {"Metadata": dict(metadata)}} if metadata else {}
        with translated_errors(address):
            self.boto.upload_file(
                str(source), address.bucket, address.key, Config=_multipart(), **extra
            )

    def download(self, address: Address, target: Path) -> None:
        with translated_errors(address):
            self.boto.download_file(address.bucket, address.key, str(target), Config=_multipart())

    def touch(self, address: Address) -> None:
        with translated_errors(address):
            self.boto.copy_object(
                **_of(address),
                CopySource=_of(address),
                # A store refuses to copy an object onto itself unless something is new.
                MetadataDirective="REPLACE",
                Metadata={},
            )

    def entries(self, folder: Address, *, recursive: bool) -> Iterator[tuple[str, Stat | None]]:
        for page in self._pages(folder, **({} if recursive else {"Delimiter": "/"})):
            for below in page.get("CommonPrefixes", ()):
                yield below["Prefix"].rstrip("/"), None
            for item in page.get("Contents", ()):
                # Consoles and Hadoop make empty objects that stand for folders.
                if not item["Key"].endswith("/"):
                    yield item["Key"], _stat(item, item["Size"])

    def has_any(self, folder: Address) -> bool:
        with translated_errors(folder):
            page = self.boto.list_objects_v2(Bucket=folder.bucket, Prefix=folder.key, MaxKeys=1)
        return bool(page.get("Contents"))

    def delete(self, address: Address) -> None:
        with translated_errors(address):
            self.boto.delete_object(**_of(address))

    def delete_below(self, folder: Address) -> list[str]:
        """Delete a page of the listing, 1,000 objects, by one request."""
        problems: list[str] = []
        for page in self._pages(folder):
            keys = [item["Key"] for item in page.get("Contents", ())]
            with translated_errors(folder):
                problems += self._delete_keys(folder.bucket, keys)
        return problems

    def arrow(self, address: Address) -> "tuple[FileSystem, str]":
        from pyarrow.fs import AwsStandardS3RetryStrategy, S3FileSystem

        options = self._options
        if options.endpoint:
            # As for boto3's client; Arrow has no argument for it.
            os.environ.setdefault("AWS_REQUEST_CHECKSUM_CALCULATION", "when_required")
        with translated_errors(options.endpoint or "S3"):
            session = self._session()
            credentials = session.get_credentials()
            keys = credentials.get_frozen_credentials() if credentials else None
            endpoint = urlsplit(options.endpoint or "")
            system = S3FileSystem(
                access_key=keys and keys.access_key,
                secret_key=keys and keys.secret_key,
                session_token=keys and keys.token,
                region=options.region or session.region_name,
                scheme=endpoint.scheme or None,
                endpoint_override=endpoint.netloc or None,
                force_virtual_addressing=bool(options.endpoint) and not options.uses_path_style,
                connect_timeout=CONNECT_SECONDS,
                request_timeout=READ_SECONDS,
                retry_strategy=AwsStandardS3RetryStrategy(max_attempts=REQUEST_ATTEMPTS),
            )
        return system, f"{address.bucket}/{address.key}"

    def _session(self) -> Any:  # noqa: ANN401 - boto3 makes its classes as it runs
        import boto3

        return boto3.Session(profile_name=self._options.profile, region_name=self._options.region)

    def _pages(self, folder: Address, **arguments: str) -> Iterator[dict[str, Any]]:
        with translated_errors(folder):
            pages = self.boto.get_paginator("list_objects_v2")
            yield from pages.paginate(Bucket=folder.bucket, Prefix=folder.key, **arguments)

    def _delete_keys(self, bucket: str, keys: list[str]) -> list[str]:
        """Delete up to 1,000 objects, one by one where the store knows no request for several."""
        from botocore.exceptions import ClientError

        if not keys:
            return []
        request = {"Objects": [{"Key": key} for key in keys], "Quiet": True}
        try:
            answer = self.boto.delete_objects(Bucket=bucket, Delete=request)
        except ClientError as error:
            if error.response["ResponseMetadata"]["HTTPStatusCode"] not in _UNKNOWN_REQUEST:
                raise
            for key in keys:
                self.boto.delete_object(Bucket=bucket, Key=key)
            return []
        return [f"{e['Key']} ({e['Code']}: {e['Message']})" for e in answer.get("Errors", ())]


def _of(address: Address) -> dict[str, str]:
    return {"Bucket": address.bucket, "Key": address.key}


def _stat(answer: dict[str, Any], size: int, metadata: Mapping[str, str] | None = None) -> Stat:
    return Stat(size, answer["LastModified"].timestamp(), answer["ETag"], metadata or {})


def _multipart() -> "TransferConfig":
    """How large objects are sent and fetched: in parts, each with attempts of its own."""
    from boto3.s3.transfer import TransferConfig

    return TransferConfig(
        multipart_threshold=PART_BYTES,
        multipart_chunksize=PART_BYTES,
        # Without this, a part whose download breaks off is retried less often than a
        # failed request.
        num_download_attempts=REQUEST_ATTEMPTS,
    )


@contextmanager
def translated_errors(subject: object) -> Iterator[None]:
    """Turn boto3's errors into an ObjectStoreError that names the subject and says what to do.

    Args:
        subject: the address or endpoint that the block works on.
    """
    from boto3.exceptions import Boto3Error, RetriesExceededError
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except ClientError as error:
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
        kind = ExistingObjectError if status in _EXISTS else ObjectStoreError
        raise (MissingObjectError if _is_not_found(error) else kind)(
            f"{subject}: {_advice(error)}"
        ) from error
    except RetriesExceededError as error:
        last = error.last_exception
        raise ObjectStoreError(f"{subject}: broke off {REQUEST_ATTEMPTS} times: {last}") from error
    except (BotoCoreError, Boto3Error, ValueError) as error:
        hint = {
            "NoCredentialsError": "; give boto3 some: environment variables, a profile, a role",
            "PartialCredentialsError": "; give boto3 both the key's id and the secret",
            "ProfileNotFound": "; it must be in boto3's files on every host",
            "EndpointConnectionError": "; look at the endpoint and the network",
        }.get(type(error).__name__, "")
        raise ObjectStoreError(f"{subject}: {error}{hint}") from error


def _code(error: Any) -> str:  # noqa: ANN401 - botocore's ClientError
    code: str = error.response.get("Error", {}).get("Code", "")
    return code


def _is_not_found(error: Any) -> bool:  # noqa: ANN401 - botocore's ClientError
    return _code(error) in ("404", "NoSuchKey", "NotFound")


def _advice(error: Any) -> str:  # noqa: ANN401 - botocore's ClientError
    code = _code(error)
    if code in ("403", "AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch"):
        return f"access denied ({code}); look at the credentials boto3 finds and at the policy"
    if _is_not_found(error):
        return "no such object; look at the address"
    if code == "NoSuchBucket":
        return "no such bucket; look at the address and the endpoint"
    return str(error)
