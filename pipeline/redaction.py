"""Secrets: how to tell them, and the one function that masks them in all that is written.

Errors, progress, run.json, pages, diff and command lines go through this module.
"""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import zip_longest
from typing import Any
from urllib.parse import quote, unquote

MASK = "***"
# Spark's own pattern (spark.redaction.regex), and the clouds' names; Java reads it too.
SECRET_NAME = (
    r"secret|passw(?:or)?d|passphrase|credential|token(?!i[sz]|s\b)|access[._-]?key|signature|"  # noqa: S105 - it tells secrets and is none
    r"(?:account|private|api)[._-]?key|\bsas\b|(?<![a-z])pwd(?![a-z])"
)
ADVICE = (
    "run.json, pages, logs and command lines show settings to others. Take it out of the settings "
    "and leave credentials to the role of the host or pod, to the environment "
    "(AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AZURE_STORAGE_ACCOUNT_KEY, AZURE_CLIENT_SECRET), "
    "to files (AWS's shared files by s3.profile, GOOGLE_APPLICATION_CREDENTIALS), or to a "
    "credential store of Hadoop (spark.hadoop.hadoop.security.credential.provider.path); settings "
    "of Spark that must hold a secret go into spark-defaults.conf in the folder SPARK_CONF_DIR; on "
    "Kubernetes: spark.kubernetes.driver.secretKeyRef.AWS_SECRET_ACCESS_KEY=SECRET:KEY, and the "
    "same of executor"
)
_NAME = re.compile(SECRET_NAME, re.I)
# Names that say where a secret is, or how one is obtained.
_REFERENCE_NAME = re.compile(
    r"^(?:old)?pwd$|spark\.kubernetes\.(driver|executor)\.(secrets|secretKeyRef)\."
    r"|(file|path|provider|class|binding|endpoint|kind|url)s?$",
    re.I,
)
_HARMLESS_VALUE = re.compile(r"(true|false|none|null|\*+|\d{0,5}[a-z]{0,3})", re.I)
_USER_INFO = re.compile(r"(\w://[^\s/:@]*):([^\s/]*)@")
# Repositories of packages and code take tokens in place of users.
_USER_TOKEN = re.compile(r"(\bhttps?://)([^\s/:@*]{16,})@", re.I)
# NAME=VALUE, also -DNAME=VALUE, and the same in JSON or Python: "NAME": "VALUE".
_PAIR = re.compile(
    rf"([\w.-]*(?:{SECRET_NAME})[\w.-]*)(\s*=\s*|[\"']\s*[:=]\s*)([\"']?)([^\s&;,\"']*[^\s&;,\"':])",
    re.I,
)
_AUTHORIZATION = re.compile(
    r"(authorization[\"']?\s*[:=]\s*[\"']?(?:\w+\s+)?+)(?!\*\*\*)[^\s\"']+", re.I
)
# Who knows the address of a webhook can write to it.
_WEBHOOK = re.compile(
    r"https?://([^\s/\"']*hooks?\.[^\s/\"']*|[^\s\"']*/webhooks?)/(?!\*\*\*)\S", re.I
)
# NAME: VALUE, as programs are given headers.
_HEADER = re.compile(r"([\w-]+):\s*([^\s\"']+)")
# What a shell takes from the environment.
_VARIABLE = re.compile(r"\$(\w+|\{\w+\})")
# Shorter texts are part of ordinary words.
_MIN_LENGTH = 6
_remembered: set[str] = set()


def remember(*secrets: str) -> None:
    """Mask these texts, and their forms in addresses, in all that this process writes."""
    for secret in secrets:
        forms = {secret, quote(secret, safe=""), unquote(secret)}
        _remembered.update(form for form in forms if len(form) >= _MIN_LENGTH)


def remember_arguments(words: Sequence[str]) -> None:
    """Mask what the words of a command line hold in addresses, pairs and after --password."""
    for word, following in zip_longest(words, words[1:], fillvalue=""):
        remember(*(match[2] for match in _USER_INFO.finditer(word)))
        remember(*(match[4] for match in _PAIR.finditer(word) if is_secret(match[1], match[4])))
        if _is_secret_option(word, following):
            remember(following)


def _is_secret_option(word: str, following: str) -> bool:
    """Whether a word of a command line is an option whose value, the word after it, is a secret."""
    is_option = word.startswith("--") and "=" not in word
    return is_option and is_secret(word, following) and not following.startswith("-")


def command_holds_secret(words: Sequence[str]) -> bool:
    """Whether the words of a command hold a secret: a password, a header, a webhook's address.

    A variable in the text of a shell, $NAME or ${NAME}, is none.
    """
    plain = [_VARIABLE.sub(MASK, word) for word in words]
    return any(
        holds_secret("", word)
        or _AUTHORIZATION.search(word)
        or _WEBHOOK.search(word)
        or any(is_secret(match[1], match[2]) for match in _HEADER.finditer(word))
        or _is_secret_option(word, following)
        for word, following in zip_longest(plain, plain[1:], fillvalue="")
    )


def is_secret(name: str, value: str) -> bool:
    """Whether a setting or variable is a secret, as far as its name tells."""
    return bool(
        _NAME.search(name)
        and not _REFERENCE_NAME.search(name)
        and not _HARMLESS_VALUE.fullmatch(value)
    )


def holds_secret(name: str, value: str) -> bool:
    """Whether a setting is a secret, or its value holds one: an address, or NAME=VALUE."""
    return is_secret(name, value) or has_password(value) or any(_secret_pairs(value))


def has_password(value: str) -> bool:
    """Whether a text has an address with a password, or with a token in place of a user."""
    is_shown = any(match[2] != MASK for match in _USER_INFO.finditer(value))
    return is_shown or _USER_TOKEN.search(value) is not None


def mask(text: str) -> str:
    """A text without the secrets in it: those known by value, passwords of addresses, pairs."""
    for secret in sorted(_remembered | set(_environment_secrets(os.environ)), key=len)[::-1]:
        text = text.replace(secret, MASK)
    text = _USER_INFO.sub(rf"\g<1>:{MASK}@", _USER_TOKEN.sub(rf"\g<1>{MASK}@", text))
    text = _AUTHORIZATION.sub(rf"\g<1>{MASK}", text)
    return _PAIR.sub(_masked_pair, text)


def mask_settings(settings: Any, name: str = "") -> Any:  # noqa: ANN401 - JSON
    """Settings, as JSON has them, without the secrets in them."""
    if isinstance(settings, Mapping):
        return {key: mask_settings(value, f"{name}.{key}") for key, value in settings.items()}
    if isinstance(settings, list):
        return [mask_settings(value, name) for value in settings]
    if not isinstance(settings, str):
        return settings
    return MASK if is_secret(name, settings) else mask(settings)


def _secret_pairs(text: str) -> Iterator[str]:
    return (match[0] for match in _PAIR.finditer(text) if is_secret(match[1], match[4]))


def _masked_pair(match: re.Match[str]) -> str:
    name, sign, quotation, value = match[1], match[2], match[3], match[4]
    return f"{name}{sign}{quotation}{MASK}" if is_secret(name, value) else match[0]


def _environment_secrets(environment: Mapping[str, str]) -> Iterator[str]:
    for name, value in environment.items():
        is_path = value.startswith("/") and os.path.exists(value)  # noqa: PTH110 - no other use
        if is_secret(name, value) and len(value) >= _MIN_LENGTH and not is_path:
            yield value
