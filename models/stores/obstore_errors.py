"""Obstore's errors as those of an object store, with what to do."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

from models.stores.address import Address
from models.stores.client import ExistingObjectError, MissingObjectError, ObjectStoreError

_NO_BUCKET = re.compile(
    r"NoSuchBucket|ContainerNotFound|bucket does not exist|no bucket named|specified container",
    re.I,
)
_DENIED = re.compile(
    r"status code: 40[13]|AuthenticationFailed|AuthorizationFailure|AccessDenied|"
    r"permission",
    re.I,
)
_NO_CREDENTIALS = re.compile(
    r"token request|metadata/(?:v1|identity)|Azure CLI|no credentials", re.I
)
_UNREACHABLE = re.compile(
    r"error sending request|client error \(Connect\)|dns error|timed out", re.I
)
_ADVICE_ON_BUCKET = "no such bucket or container; look at the address and the endpoint"
# Characters of the store's answer in a message.
_MAX_ANSWER = 300


class UnreachableError(ObjectStoreError):
    """There is no connection, or it broke before an answer came."""


@contextmanager
def translated_errors(address: Address, chain: str, *, writes: bool = False) -> Iterator[None]:
    """Turn obstore's errors into an ObjectStoreError that names the address and says what to do.

    Args:
        address: what the block works on.
        chain: where the cloud's clients look for credentials.
        writes: whether the block writes, which finds nothing only where there is no bucket.
    """
    from obstore.exceptions import AlreadyExistsError, BaseError, PreconditionError

    try:
        yield
    except ObjectStoreError:
        raise
    except (AlreadyExistsError, PreconditionError) as error:
        raise ExistingObjectError(f"{address}: there is an object of this key") from error
    except FileNotFoundError as error:
        if writes or address.is_prefix or _NO_BUCKET.search(_text(error)):
            raise ObjectStoreError(f"{address}: {_ADVICE_ON_BUCKET}") from error
        raise MissingObjectError(f"{address}: no such object; look at the address") from error
    except (BaseError, PermissionError, ValueError) as error:
        text = _text(error)
        kind = UnreachableError if _is_unreachable(text) else ObjectStoreError
        raise kind(f"{address}: {_advice(text, chain)}") from error


def _is_unreachable(text: str) -> bool:
    return bool(_UNREACHABLE.search(text)) and not _NO_CREDENTIALS.search(text)


def _advice(text: str, chain: str) -> str:
    if _NO_BUCKET.search(text):
        return _ADVICE_ON_BUCKET
    if "path segment" in text:
        return (
            f"{text}; keys with empty parts (//), with . or .. as a part and with control "
            "characters can't be read: rename the object"
        )
    answer = text[:_MAX_ANSWER]
    if _NO_CREDENTIALS.search(text):
        return f"no credentials; give some: {chain} ({answer})"
    if _DENIED.search(text):
        return f"access denied; look at the credentials ({chain}) and roles ({answer})"
    if _is_unreachable(text):
        return f"can't be reached; look at the address, endpoint and network ({answer})"
    return text


def _text(error: Exception) -> str:
    """Obstore's message without the dump of its structures, on one line."""
    return " ".join(str(error).partition("Debug source")[0].split())
