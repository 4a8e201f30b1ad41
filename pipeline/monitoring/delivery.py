"""Delivery to what is outside: all receivers at the same time, within one limit of time."""

import os
import time
from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from http.client import HTTPException, InvalidURL
from threading import Thread
from urllib import request
from urllib.error import HTTPError
from urllib.parse import unquote, urlsplit

from pipeline.errors import cause
from pipeline.redaction import mask, remember

# A run waits for all receivers together no longer than this at its end.
SECONDS = 8.0
_ATTEMPT_SECONDS, _FIRST_PAUSE, _GRACE_SECONDS = 4.0, 0.5, 0.5
# What a receiver says is cut after so many bytes.
MAX_REPLY = 200
# Beside those from 500 on: too slow, too early, too many.
_RETRIED = {408, 425, 429}
_KEPT_BY_REDIRECTS = (307, 308)


class DeliveryError(Exception):
    """A receiver could not be told, with the reason."""


class Deadline:
    """A point in time until which something is tried."""

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds

    @property
    def seconds(self) -> float:
        """Seconds that are left; 0 when it has passed."""
        return max(0.0, self._end - time.monotonic())


@dataclass(frozen=True)
class Delivery:
    """Something to be told to one receiver.

    Attributes:
        name: what is told to whom, for messages.
        send: tells it, until a deadline; raises DeliveryError, OSError or ValueError.
    """

    name: str
    send: Callable[[Deadline], None]


@dataclass
class _Attempt:
    delivery: Delivery
    deadline: Deadline
    error: str | None = field(default="no answer in time")

    def run(self) -> None:
        try:
            self.delivery.send(self.deadline)
            self.error = None
        except DeliveryError as error:
            self.error = str(error)
        except Exception as error:
            # A receiver must not change the run's end, whatever goes wrong with it.
            self.error = cause(error)


def deliver(
    deliveries: Sequence[Delivery], say: Callable[[str], None], deadline: Deadline | None = None
) -> None:
    """Tell all receivers at the same time; those that can't be told are said, and no more.

    Threads that hang do not keep the process from ending.

    Args:
        deliveries: what is told.
        say: prints a line.
        deadline: until when; None: the usual limit from now on.
    """
    deadline = deadline or Deadline(SECONDS)
    attempts = [_Attempt(delivery, deadline) for delivery in deliveries]
    threads = [Thread(target=attempt.run, daemon=True) for attempt in attempts]
    for thread in threads:
        thread.start()
    # What ends at the deadline shall still say why.
    last = Deadline(deadline.seconds + _GRACE_SECONDS)
    for thread, attempt in zip(threads, attempts, strict=True):
        thread.join(last.seconds)
        if attempt.error is not None:
            say(f"{attempt.delivery.name} was not sent: {_one_line(mask(attempt.error))}")


def _one_line(text: str) -> str:
    """A text that a receiver may have written, without line breaks and controls of a terminal."""
    return " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())


def secret_address(variable: str) -> str:
    """The address that a variable of the environment holds; it is masked in all that is written.

    Raises:
        DeliveryError: the variable is missing, or holds no address.
    """
    url = from_environment(variable)
    parts = urlsplit(url)
    remember(parts.path, f"{parts.path}?{parts.query}")
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise DeliveryError(f"{variable} holds no address of http or https")
    return url


def from_environment(variable: str) -> str:
    """The value of a variable of the environment; it is masked in all that is written.

    Raises:
        DeliveryError: the variable is missing or empty, or holds what no header can hold.
    """
    value = os.environ.get(variable, "").strip()
    if not value:
        raise DeliveryError(f"the environment variable {variable} is not set")
    remember(value)
    # Errors of libraries show such a value in a form that is not masked.
    if not (value.isascii() and value.isprintable()):
        raise DeliveryError(
            f"{variable} holds a line break or another character that no header can hold; set it "
            "again without"
        )
    return value


class _Redirects(request.HTTPRedirectHandler):
    """Follows redirects that keep method and content; urllib would turn a POST into a GET."""

    def redirect_request(
        self,
        req: request.Request,
        fp: object,
        code: int,
        msg: str,
        headers: object,
        newurl: str,
    ) -> request.Request | None:
        if code not in _KEPT_BY_REDIRECTS or urlsplit(newurl).scheme not in ("http", "https"):
            return None
        kept = dict(req.header_items())
        if urlsplit(newurl)[:2] != urlsplit(req.full_url)[:2]:
            kept.pop("Authorization", None)
        kept.pop("Host", None)
        return request.Request(newurl, req.data, kept, method=req.get_method())  # noqa: S310 - the handler refuses other schemes


def post(url: str, body: bytes, headers: Mapping[str, str], deadline: Deadline) -> None:
    """Post something; if there is no good answer, again and again until the deadline.

    Proxies are those of the environment.

    Args:
        url: an address of http or https; a user and password in it become a header.
        body: the content.
        headers: its type, and others.
        deadline: until when to try.

    Raises:
        DeliveryError: the receiver has refused it, or gave no good answer.
    """
    prepared = _request(url, body, headers)
    opener = request.build_opener(_Redirects)
    pause, attempts = _FIRST_PAUSE, 0
    while True:
        attempts += 1
        try:
            timeout = max(0.1, min(_ATTEMPT_SECONDS, deadline.seconds))
            with opener.open(prepared, timeout=timeout):
                return
        except HTTPError as error:
            problem = f"the receiver answered {error.code} {error.reason}{_reply(error)}"
            if error.code < 500 and error.code not in _RETRIED:
                raise DeliveryError(problem) from error
        except (InvalidURL, ValueError) as error:
            # The error's text may hold the address or a header.
            raise DeliveryError("its address or a header can't be used") from error
        except (OSError, HTTPException) as error:
            problem = str(getattr(error, "reason", "") or error) or type(error).__name__
        if deadline.seconds < pause + _FIRST_PAUSE:
            raise DeliveryError(f"{problem} (attempts: {attempts})")
        time.sleep(pause)
        pause *= 2


def _request(url: str, body: bytes, headers: Mapping[str, str]) -> request.Request:
    parts = urlsplit(url)
    user, at, host = parts.netloc.rpartition("@")
    sent = {"User-Agent": "nitamono", **headers}
    if at:
        credentials = b64encode(unquote(user).encode()).decode()
        remember(credentials)
        sent["Authorization"] = f"Basic {credentials}"
    plain = parts._replace(netloc=host, fragment="").geturl()
    return request.Request(plain, body, sent, method="POST")  # noqa: S310 - http and https only


def _reply(error: HTTPError) -> str:
    """The begin of what a receiver says of an error."""
    try:
        text = error.read(MAX_REPLY).decode(errors="replace")
    except (OSError, HTTPException):
        return ""
    line = " ".join(text.split())
    return f": {line}" if line else ""
