"""Where an export goes: the address of --to, of which no password comes out again."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from pipeline.errors import UsageError

JSONL = "jsonl"
POSTGRES = ("postgres", "postgresql")
REDIS = ("redis", "rediss", "unix")
INSTALL = "pip install 'nitamono[export]'"
_FROM = "env:"
_KINDS = "give postgres://..., redis://..., jsonl, or env:NAME, a variable that holds an address"
_HIDDEN = "***"
_USER_INFO = re.compile(r"(\w://[^\s/:@]*):[^\s/]*@")
_PASSWORD = re.compile(r"((?:password|passwd|sslpassword)\s*=\s*)[^\s&]+", re.I)
_PASSWORDS = {
    "postgres": "PGPASSWORD in the environment, ~/.pgpass, or a service (PGSERVICE)",
    "redis": "REDIS_PASSWORD in the environment",
}


@dataclass(frozen=True)
class Address:
    """An address, which may hold a password: it is neither printed nor part of an error.

    Attributes:
        kind: postgres, redis or jsonl.
        url: as it was given, for the library that connects.
        shown: scheme, host, port and database.
        secrets: what must not be seen.
    """

    kind: str
    url: str = field(repr=False)
    shown: str
    secrets: tuple[str, ...] = field(default=(), repr=False)

    @classmethod
    def of(cls, text: str, environment: Mapping[str, str]) -> "Address":
        """What --to says.

        Raises:
            UsageError: it is no address, its variable is not set, or it has a password although
                it stands on the command line.
        """
        given = text
        if text.startswith(_FROM):
            given = environment.get(text.removeprefix(_FROM), "")
            if not given:
                raise UsageError(f"--to {text}: that variable is not set; {_KINDS}")
        if given == JSONL:
            return cls(JSONL, JSONL, JSONL)
        scheme = given.partition("://")[0].lower()
        kind = "postgres" if scheme in POSTGRES else "redis" if scheme in REDIS else ""
        if not kind or "://" not in given:
            # Not repeated: it may be a password.
            raise UsageError(f"--to: this is no address that is known; {_KINDS}")
        address = _taken_apart(kind, given)
        if address.secrets and given is text:
            raise UsageError(
                f"--to {address.shown}: a password on the command line stands in ps and in the "
                f"shell's history; put it into {_PASSWORDS[kind]}, or the whole address into a "
                "variable: --to env:NAME"
            )
        return address

    @property
    def local(self) -> bool:
        """Whether it is a redis' socket on this host."""
        return self.shown.startswith("unix:")

    def redacted(self, text: object) -> str:
        """A message without what must not be seen, on one line."""
        line = " ".join(str(text).split())
        for secret in self.secrets:
            line = line.replace(secret, _HIDDEN)
        return redacted(line)


def redacted(text: str) -> str:
    """A text with every address's password left out."""
    return _PASSWORD.sub(rf"\g<1>{_HIDDEN}", _USER_INFO.sub(rf"\g<1>:{_HIDDEN}@", text))


def _taken_apart(kind: str, url: str) -> Address:
    """An address with its secrets known.

    Raises:
        UsageError: it is malformed.
    """
    try:
        parts = _of_libpq(url) if kind == "postgres" else _of_redis(url)
    except ValueError:
        # What could not be read may be a password.
        raise UsageError(
            f"--to: this {kind} address can't be read; characters like @, / and # in names are "
            "written %40, %2F and %23"
        ) from None
    found = [value for name, value in parts.items() if name.endswith("password") and value]
    secrets = tuple({form for one in found for form in (one, unquote(one), quote(one))})
    host, port = parts.get("host") or "", parts.get("port")
    # As libpq has it, several hosts have several ports.
    ports = f":{port}" if port else ""
    scheme = url.partition("://")[0].lower()
    return Address(kind, url, f"{scheme}://{host}{ports}/{parts.get('dbname') or ''}", secrets)


def _of_libpq(url: str) -> dict[str, str]:
    try:
        from psycopg import ProgrammingError
        from psycopg.conninfo import conninfo_to_dict
    except ImportError as error:
        raise UsageError(f"export to PostgreSQL: {INSTALL}") from error
    try:
        return {name: str(value) for name, value in conninfo_to_dict(url).items() if value}
    except ProgrammingError:
        raise ValueError from None


def _of_redis(url: str) -> dict[str, str]:
    parts = urlsplit(url)
    if parts.scheme == "unix":
        where = {"host": parts.path}
    else:
        where = {"host": parts.hostname or "", "port": str(parts.port or "")}
    asked = dict(parse_qsl(parts.query))
    name = asked.get("db") or ("" if parts.scheme == "unix" else parts.path.strip("/"))
    password = parts.password or asked.get("password", "")
    return {**asked, **where, "dbname": name, "password": password}


def with_environment(address: Address, environment: Mapping[str, str], *names: str) -> Address:
    """The address, with the values of these variables among what must not be seen."""
    more = tuple(environment[name] for name in names if environment.get(name))
    return Address(address.kind, address.url, address.shown, (*address.secrets, *more))
