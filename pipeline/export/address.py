"""The address that --to gives: where an export goes. Nothing that prints it shows a password."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from pipeline import redaction
from pipeline.errors import StageError, UsageError

# Targets that are no addresses of servers.
JSONL, TABLE = "jsonl", "table"
_POSTGRES = ("postgres", "postgresql")
_REDIS = ("redis", "rediss", "unix")
INSTALL = "pip install 'nitamono[export]'"
RERUN = "run it again: it goes on from the files that are done"
_VARIABLE = "env:"
_KINDS = (
    "give postgres://..., redis://..., table, jsonl, or env:NAME, a variable that holds an address"
)
_PASSWORD_PLACES = {
    "postgres": "PGPASSWORD in the environment, ~/.pgpass, or a service (PGSERVICE)",
    "redis": "REDIS_PASSWORD in the environment",
}


@dataclass(frozen=True)
class Address:
    """An address, which may hold a password: it is neither printed nor part of an error.

    Attributes:
        kind: postgres, redis, table or jsonl.
        url: the address itself, for the library that connects.
        label: scheme, host, port and database, for messages.
        secrets: texts that messages must not show.
    """

    kind: str
    url: str = field(repr=False)
    label: str
    secrets: tuple[str, ...] = field(default=(), repr=False)

    @classmethod
    def parse(cls, text: str, environment: Mapping[str, str]) -> "Address":
        """Parse the value of --to.

        Raises:
            UsageError: it is no address, its variable is not set, or it has a password although
                it stands on the command line.
        """
        url = text
        if text.startswith(_VARIABLE):
            url = environment.get(text.removeprefix(_VARIABLE), "")
            if not url:
                raise UsageError(f"--to {text}: that variable is not set; {_KINDS}")
        if url in (JSONL, TABLE):
            return cls(url, url, url)
        scheme = url.partition("://")[0].lower()
        kind = "postgres" if scheme in _POSTGRES else "redis" if scheme in _REDIS else ""
        if not kind or "://" not in url:
            # The text is not repeated: it may be a password.
            raise UsageError(f"--to: the address is of no known kind; {_KINDS}")
        address = _parse_url(kind, url)
        if address.secrets and url is text:
            raise UsageError(
                f"--to {address.label}: a password on the command line stands in ps and in the "
                f"shell's history; put it into {_PASSWORD_PLACES[kind]}, or the whole address "
                "into a variable: --to env:NAME"
            )
        return address

    @property
    def is_unix_socket(self) -> bool:
        """Whether it is the socket of a redis on this host."""
        return self.label.startswith("unix:")

    def with_secrets(self, environment: Mapping[str, str], *names: str) -> "Address":
        """The same address; the values of these environment variables are secrets too."""
        values = tuple(environment[name] for name in names if environment.get(name))
        return Address(self.kind, self.url, self.label, (*self.secrets, *values))

    def redact(self, text: object) -> str:
        """A message on one line, without the secrets."""
        line = " ".join(str(text).split())
        for secret in self.secrets:
            line = line.replace(secret, redaction.MASK)
        return redaction.mask(line)

    def failure(self, text: str, advice: str) -> StageError:
        """The error that says why the export failed and what to do.

        Raise it `from None`: the cause's message may hold the password.
        """
        return StageError(f"export to {self.label} failed: {self.redact(text)}; {advice}")


def _parse_url(kind: str, url: str) -> Address:
    """An address with its label and secrets.

    Raises:
        UsageError: it is malformed.
    """
    try:
        parts = _libpq_parts(url) if kind == "postgres" else _redis_parts(url)
    except ValueError:
        # What could not be read may be a password.
        raise UsageError(
            f"--to: this {kind} address can't be read; characters like @, / and # in names are "
            "written %40, %2F and %23"
        ) from None
    passwords = [value for name, value in parts.items() if name.endswith("password") and value]
    secrets = tuple({form for text in passwords for form in (text, unquote(text), quote(text))})
    host, port = parts.get("host") or "", parts.get("port")
    # In libpq's addresses, several hosts have several ports.
    ports = f":{port}" if port else ""
    scheme = url.partition("://")[0].lower()
    redaction.remember(*secrets)
    return Address(kind, url, f"{scheme}://{host}{ports}/{parts.get('dbname') or ''}", secrets)


def _libpq_parts(url: str) -> dict[str, str]:
    try:
        from psycopg import ProgrammingError
        from psycopg.conninfo import conninfo_to_dict
    except ImportError as error:
        raise UsageError(f"export to PostgreSQL: {INSTALL}") from error
    try:
        return {name: str(value) for name, value in conninfo_to_dict(url).items() if value}
    except ProgrammingError:
        raise ValueError from None


def _redis_parts(url: str) -> dict[str, str]:
    parts = urlsplit(url)
    is_socket = parts.scheme == "unix"
    if is_socket:
        server = {"host": parts.path}
    else:
        server = {"host": parts.hostname or "", "port": str(parts.port or "")}
    query = dict(parse_qsl(parts.query))
    database = query.get("db") or ("" if is_socket else parts.path.strip("/"))
    password = parts.password or query.get("password", "")
    return {**query, **server, "dbname": database, "password": password}
