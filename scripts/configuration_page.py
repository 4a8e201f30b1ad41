"""Writes docs/configuration.md from the config's sections: `make docs`.

A test checks that the page in git is the one that this writes.
"""

import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

from annotated_types import Ge, Gt, Le, Lt
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from pipeline.config.sections import Config
from pipeline.spark.executors import DEFAULT_WAIT, WAIT

PAGE = Path(__file__).parents[1] / "docs" / "configuration.md"

_HEAD = """\
<!-- `make docs` writes this page from pipeline/config/sections/: change descriptions there. -->
# Configuration

A config is a TOML file. Only `store.path` and `catalogue.path` must be given:

```toml
[store]
path = "store"

[catalogue]
path = "items.parquet"
```

A setting is taken from the first of these places that has it:

1. `--set section.key=value` on the command line, as often as needed;
2. the environment variable `NITAMONO_SECTION_KEY`, for instance `NITAMONO_NEIGHBORS_K`;
3. the config file;
4. the default.

Relative paths in the file are relative to the file. Relative paths in the environment or after
`--set` are relative to the working folder. Unknown names are refused, and the message gives the
closest known name. [Secrets](#secrets) are refused.

A change of a setting runs some stages again and leaves the others: `nitamono run --dry-run` says
which.
"""
_SECTIONS = {field.annotation for field in Config.model_fields.values()}
_PLAIN = {str: "text", int: "whole number", float: "number", bool: "`true`, `false`"}
_COLUMNS = """\
[catalogue.md](catalogue.md) says what the files may look like.

nitamono reads these columns of a catalogue: `item_id` and `title`, which must be there, and
`description`, `category`, `group_id`, `brand`, `locale`, `image_url`, `price` and `stock`, where
they are there. Ids may be strings or integers; they become strings. `columns` maps names that
differ:

```toml
[catalogue]
path = "items.csv"
encoding = "Shift_JIS"
columns = { item_id = "sku", title = "name", description = "body" }
```

Other names in `columns` are [further columns](rules.md#further-columns), for rules, boosts and
[fields](similarity-and-recall.md#fields-brands-and-categories).
"""
_NOTES = {
    "catalogue": _COLUMNS,
    "expect": "See [expectations](catalogue.md#expectations).",
    "model": "See [the model](similarity-and-recall.md#the-model).",
    "embed": "`[[embed.field]]` may be given several times: see "
    "[fields](similarity-and-recall.md#fields-brands-and-categories). See also "
    "[what makes items similar](similarity-and-recall.md#what-makes-items-similar).",
    "neighbors": "See [the search](similarity-and-recall.md#how-neighbours-are-found).",
    "rules": "See [rules](rules.md).",
    "rank": "`price` and `fresh` are off unless they are given. See [boosts](rules.md#boosts).",
    "edits": "See [edits by hand](rules.md#edits-by-hand).",
    "variant": "See [variants](rules.md#variants).",
    "fallback": "See [short lists that are filled](rules.md#filling-short-lists).",
    "publish": "See [the gate](nightly.md#the-gate).",
    "report": "See [the page of a run](report.md).",
    "notify": "See [notices](monitoring.md#notices-notify).",
    "metrics": "See [metrics](monitoring.md#metrics-metrics).",
    "lineage": "See [lineage](monitoring.md#lineage-lineage).",
}
_SPARK = f"""\
## [spark]

All settings here are passed to Spark, under Spark's own names with or without the leading `spark.`:

```toml
[spark]
master = "local[4]"
driver.memory = "8g"
```

nitamono adds one of its own:

| setting | default | allowed | meaning |
| --- | --- | --- | --- |
| `{WAIT}` | `"{DEFAULT_WAIT}"` | text | how long a run waits for the first executor of a cluster |

On a local master, `driver.extraJavaOptions` makes Spark start sooner unless you set it: the JVM
maps an archive of Spark's classes, which `make setup` makes (elsewhere
`python -m pipeline.spark.class_archive` does, once for each Java and each Spark: 190 MB in the
environment), for a catalogue of up to 4 MiB it compiles for short work, and for others it collects
garbage with all cores at once (`-XX:+UseParallelGC`).
Likewise, `python.daemon.module` and `executorEnv.PYTHONPATH` have Python workers forked from a
process that has imported what they use; set one of them, and Spark's own daemon forks them.

[sizing-and-tuning.md](sizing-and-tuning.md) says how large Spark's processes should be.
"""
_SECRETS = """\
## Secrets

run.json, the page of a run, logs and command lines show settings to others. So a secret among them
is refused (exit code 2): a setting whose name says that it is one (`fs.s3a.secret.key`), an
address with a password, and options such as `-Djavax.net.ssl.trustStorePassword=...`. Leave it:

- with the role of the host or pod;
- in the environment: `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AZURE_STORAGE_ACCOUNT_KEY`,
  `AZURE_CLIENT_SECRET`, or the file that `GOOGLE_APPLICATION_CREDENTIALS` names;
- in AWS's shared files: `s3.profile` names the profile;
- in a credential store of Hadoop: `spark.hadoop.hadoop.security.credential.provider.path`;
- in `spark-defaults.conf` in the folder `SPARK_CONF_DIR`, for other settings of Spark;
- in a secret of Kubernetes: `spark.kubernetes.driver.secretKeyRef.AWS_SECRET_ACCESS_KEY =
  "SECRET:KEY"`, and the same with `executor`.

Names that say where a secret is (`...File`, `...path`, `...provider`) are taken. Secrets that
nitamono knows of, by their name in the environment or by their place in an address, are `***` in
all that it prints and writes.
"""


def page() -> str:
    """The whole page."""
    return "\n".join([_HEAD, *_sections(), _SPARK, _SECRETS])


def _sections() -> Iterator[str]:
    for name, field in Config.model_fields.items():
        section = field.annotation
        if typing.get_origin(section) is list:
            (entry,) = typing.get_args(section)
            yield "\n".join(_section(f"[{name}]", entry, name))
        elif isinstance(section, type) and issubclass(section, BaseModel):
            yield "\n".join(_section(name, section))


def _section(name: str, section: type[BaseModel], shown: str | None = None) -> Iterator[str]:
    """A section; its settings go by another name where it may come several times."""
    yield f"## [{name}]\n"
    yield f"{(section.__doc__ or '').strip().splitlines()[0]}\n"
    yield "| setting | default | allowed | meaning |"
    yield "| --- | --- | --- | --- |"
    for setting, field in _settings(shown or name, section):
        cells = (f"`{setting}`", _default(field), _allowed(field), field.description or "")
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"
    if note := _NOTES.get(shown or name):
        yield f"\n{note.rstrip()}"
    yield ""


def _settings(name: str, section: type[BaseModel]) -> Iterator[tuple[str, FieldInfo]]:
    """The settings of a section, and those of the tables in it."""
    for key, field in section.model_fields.items():
        table = typing.get_args(field.annotation)[:1]
        if table and table[0] in _SECTIONS:
            # A section in place of one that the page has already.
            yield f"{name}.{key}", field
        elif table and isinstance(table[0], type) and issubclass(table[0], BaseModel):
            yield from _settings(f"{name}.{key}", table[0])
        else:
            yield f"{name}.{key}", field


def _default(field: FieldInfo) -> str:
    """The default as TOML writes it."""
    return "**must be given**" if field.is_required() else f"`{_toml(_default_value(field))}`"


def _default_value(field: FieldInfo) -> Any:  # noqa: ANN401 - any setting
    return field.get_default(call_default_factory=True)


def _toml(value: object) -> str:
    if value is None:
        return "not given"
    if isinstance(value, bool):
        return str(value).lower()
    return f'"{value}"' if isinstance(value, str) else str(value)


def _allowed(field: FieldInfo) -> str:
    """The type of a setting, or its values, with their bounds."""
    bounds = [text for bound in field.metadata for text in _bound(bound)]
    return " ".join([_kind(field.annotation), *bounds]).rstrip(",")


def _bound(bound: object) -> Iterator[str]:
    """A bound of a number, in words."""
    if isinstance(bound, Ge):
        yield f"from {bound.ge:,}"
    elif isinstance(bound, Gt):
        yield f"above {bound.gt:,},"
    elif isinstance(bound, Le):
        yield f"up to {bound.le:,}"
    elif isinstance(bound, Lt):
        yield f"and below {bound.lt:,}"


def _kind(annotation: Any) -> str:  # noqa: ANN401 - any type
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is Annotated:
        return _kind(arguments[0])
    if arguments and arguments[0] in _SECTIONS:
        return "section"
    if origin is Literal:
        return ", ".join(f"`{_toml(value)}`" for value in arguments)
    if type(None) in arguments:
        return _kind(arguments[0])
    if origin is list:
        return f"list of {_plural(arguments[0])}"
    if origin is dict:
        return f"table of {_plural(arguments[1])}"
    return _PLAIN[annotation]


def _plural(annotation: Any) -> str:  # noqa: ANN401 - any type
    """The name of several values of a type."""
    kind = _kind(annotation)
    return kind if kind.startswith("`") else {"text": "texts"}.get(kind, f"{kind}s")


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
