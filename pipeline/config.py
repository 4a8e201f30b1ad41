"""The config: one typed section a stage, from TOML, the environment and --set, in that order."""

import difflib
import os
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from pipeline.errors import UsageError

ENVIRONMENT_PREFIX = "NITAMONO_"


class Section(BaseModel):
    """A section of the config: immutable, strictly typed, unknown keys refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class StoreSection(Section):
    """Where the tables, models and runs live."""

    path: str = Field(min_length=1, description="folder of the store")


class CatalogueSection(Section):
    """The catalogue to read."""

    path: str = Field(min_length=1, description="file, or folder of files of one format")
    format: Literal["auto", "parquet", "csv", "jsonl"] = Field(
        "auto", description="auto goes by the file's name"
    )
    columns: dict[str, str] = Field(
        default_factory=dict,
        description="nitamono's column = the catalogue's column; same names need no entry",
    )
    encoding: str = Field(
        "UTF-8", description="of CSV and JSON Lines files; Shift_JIS for instance"
    )
    delimiter: str = Field(",", description="of CSV files", min_length=1, max_length=1)

    @field_validator("encoding")
    @classmethod
    def _known_encoding(cls, value: str) -> str:
        try:
            "".encode(value)
        except LookupError as error:
            raise ValueError(f"unknown encoding {value!r}; UTF-8, Shift_JIS, EUC-JP?") from error
        return value


class TextSection(Section):
    """How text becomes tokens."""

    split_mode: Literal["A", "B", "C"] = Field(
        "C", description="SudachiPy's units, from short (A) to long (C)"
    )
    word_form: Literal["surface", "dictionary", "normalized"] = Field(
        "normalized", description="which form of a Japanese word is kept"
    )
    dictionary: Literal["small", "core", "full"] = Field(
        "core",
        description="SudachiPy's edition; small and full: pip install nitamono[dictionaries]",
    )
    user_dictionaries: list[str] = Field(
        default_factory=list, description="compiled user dictionaries, in order"
    )


class ModelSection(Section):
    """The embedding model: trained on the catalogue, or loaded from path."""

    kind: Literal["fasttext"] = Field("fasttext", description="which family of models")
    path: str = Field("", description="a fastText .bin to use; empty: train one")
    algorithm: Literal["skipgram", "cbow"] = Field(
        "skipgram", description="how it is trained: skipgram or cbow"
    )
    dim: int = Field(100, ge=1, le=2000, description="length of a vector")
    epoch: int = Field(0, ge=0, description="passes over the sample; 0: 5 to 20, by its size")
    min_count: int = Field(2, ge=1, description="rarer words get n-grams only; lowered if too few")
    window: int = Field(5, ge=1, description="words to each side that count as context")
    minn: int = Field(2, ge=0, description="shortest character n-gram; 0 with maxn = 0: none")
    maxn: int = Field(5, ge=0, le=20, description="longest character n-gram")
    bucket: int = Field(0, ge=0, le=100_000_000, description="n-gram rows; 0: by vocabulary")
    sample_items: int = Field(1_000_000, ge=1, description="items to train on, at most")
    seed: int = Field(0, ge=0, le=2**31 - 1, description="of the choice of items")
    threads: int = Field(1, ge=1, description="more than 1 is faster, and not repeatable")

    @model_validator(mode="after")
    def _ngrams_in_order(self) -> Self:
        if self.minn > self.maxn:
            raise ValueError(f"minn is {self.minn}, above maxn, which is {self.maxn}")
        return self


class EmbedSection(Section):
    """How tokens become vectors."""

    method: Literal["mean"] = Field("mean", description="mean of the tokens' unit vectors")


class IndexSection(Section):
    """How the catalogue is cut into lists."""

    exact_below: int = Field(
        50_000, ge=0, description="catalogues with fewer vectors are searched exactly"
    )
    nlist: int = Field(0, ge=0, description="number of lists; 0: by the number of items")
    sample_items: int = Field(200_000, ge=1, description="vectors to train the lists on, at most")
    seed: int = Field(0, ge=0, le=2**31 - 1, description="of the choice of vectors and centroids")


class NeighborsSection(Section):
    """The search for neighbours."""

    k: int = Field(10, ge=1, le=1000, description="neighbours an item")
    target_recall: float = Field(0.97, gt=0, le=1, description="share of true neighbours wanted")
    nprobe: int = Field(0, ge=0, description="lists searched for an item; 0: by target_recall")
    recall_sample: int = Field(500, ge=1, le=10_000, description="items that recall is measured on")
    mode: Literal["all", "new"] = Field(
        "all", description="new: only for items that the last published catalogue lacks"
    )
    where: str = Field(
        "", description="only for items that match, in SQL; with mode new: instead of new items"
    )
    worker_mb: int = Field(1500, ge=500, description="memory that a Python worker may use, in MB")
    partitions: int = Field(0, ge=0, description="Spark tasks of the join; 0: one a group of lists")
    seed: int = Field(0, ge=0, le=2**31 - 1, description="of the choice of those items")


class PublishSection(Section):
    """The gate before publishing."""

    min_recall: float = Field(
        -1.0, ge=-1, le=1, description="held back below it; -1: neighbors.target_recall"
    )


class Config(Section):
    """The whole config; only [store] and [catalogue] must be given."""

    store: StoreSection
    catalogue: CatalogueSection
    text: TextSection = TextSection()
    model: ModelSection = ModelSection()
    embed: EmbedSection = EmbedSection()
    index: IndexSection = IndexSection()
    neighbors: NeighborsSection = NeighborsSection()
    publish: PublishSection = PublishSection()
    spark: dict[str, str] = Field(default_factory=dict)


def load(
    path: str | Path,
    assignments: Iterable[str] = (),
    environment: Mapping[str, str] | None = None,
) -> Config:
    """Read a TOML file, then NITAMONO_SECTION_KEY from the environment, then `section.key=value`.

    A relative path in the file is relative to the file's folder; one given in the environment or
    an assignment is relative to the working folder.

    Raises:
        UsageError: with every problem found, each under the name of its setting.
    """
    file = Path(path)
    raw = _read_toml(file)
    _anchor_paths(raw, file.resolve().parent)
    overrides = [
        *_from_environment(os.environ if environment is None else environment),
        *(_from_assignment(text) for text in assignments),
    ]
    for source, keys, value in overrides:
        layer: dict[str, Any] = {}
        _put(layer, keys, value, source)
        _anchor_paths(layer, Path.cwd())
        _merge(raw, layer, source)
    raw["spark"] = _flat_spark(raw.get("spark", {}))
    try:
        return Config.model_validate(raw)
    except ValidationError as error:
        problems = "; ".join(_problem(item) for item in error.errors())
        raise UsageError(f"config {file}: {problems}") from error


def _read_toml(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8-sig"))
    except FileNotFoundError as error:
        raise UsageError(f"config {file}: no such file; give one with --config FILE") from error
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"config {file}: can't be read: {error}") from error
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"config {file}: not valid TOML: {error}") from error


def _toml_value(text: str) -> Any:  # noqa: ANN401 - any TOML value
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _from_environment(
    environment: Mapping[str, str],
) -> Iterable[tuple[str, list[str], Any]]:
    for name in sorted(environment):
        if name.startswith(ENVIRONMENT_PREFIX):
            section, _, key = name.removeprefix(ENVIRONMENT_PREFIX).lower().partition("_")
            yield f"environment variable {name}", [section, key], _toml_value(environment[name])


def _from_assignment(text: str) -> tuple[str, list[str], Any]:
    name, equals, value = text.partition("=")
    section, _, key = name.strip().partition(".")
    if not equals or not key:
        raise UsageError(f"--set {text}: write it as --set section.key=value")
    # Spark's own names hold dots; below them nothing is nested.
    keys = [key] if section == "spark" else key.split(".", 1)
    return f"--set {text}", [section, *keys], _toml_value(value.strip())


def _put(target: dict[str, Any], keys: list[str], value: object, source: str) -> None:
    if not all(keys):
        raise UsageError(f"{source}: names no setting; write section and key")
    for key in keys[:-1]:
        target = target.setdefault(key, {})
    target[keys[-1]] = value


def _merge(target: dict[str, Any], layer: dict[str, Any], source: str) -> None:
    for key, value in layer.items():
        if isinstance(value, dict):
            below = target.setdefault(key, {})
            if not isinstance(below, dict):
                raise UsageError(f"{source}: {key} is not a section")
            _merge(below, value, source)
        else:
            target[key] = value


def _anchor_paths(raw: dict[str, Any], folder: Path) -> None:
    """Make the relative paths of the settings that hold paths absolute."""
    for section, key in (
        ("store", "path"),
        ("catalogue", "path"),
        ("model", "path"),
        ("text", "user_dictionaries"),
    ):
        values = raw.get(section)
        if not isinstance(values, dict):
            continue
        value = values.get(key)
        if isinstance(value, str):
            values[key] = _anchored(value, folder)
        elif isinstance(value, list):
            values[key] = [_anchored(v, folder) if isinstance(v, str) else v for v in value]


def _anchored(value: str, folder: Path) -> str:
    if not value or "://" in value:
        return value
    return os.path.normpath(folder / Path(value).expanduser())


def _flat_spark(raw: object, prefix: str = "") -> Any:  # noqa: ANN401 - validated by the caller
    """[spark]'s settings under their full names; dots, nesting and the prefix are all accepted."""
    if not isinstance(raw, dict):
        return raw
    flat: dict[str, str] = {}
    for key, value in raw.items():
        name = f"{prefix}{key}"
        if isinstance(value, dict):
            flat |= _flat_spark(value, f"{name}.")
        else:
            full = name if name.startswith("spark.") else f"spark.{name}"
            flat[full] = str(value).lower() if isinstance(value, bool) else str(value)
    return flat


def _problem(item: Any) -> str:  # noqa: ANN401 - pydantic's ErrorDetails
    location = [str(part) for part in item["loc"]]
    name = ".".join(location)
    if item["type"] == "extra_forbidden":
        return f"{name}: unknown {'setting' if len(location) > 1 else 'section'}{_hint(location)}"
    if item["type"] == "missing":
        return f"{name}: must be given"
    message = item["msg"].removeprefix("Value error, ")
    shown = "" if isinstance(item["input"], dict) else f" (it is {item['input']!r})"
    return f"{name}: {message[0].lower()}{message[1:]}{shown}"


def _hint(location: list[str]) -> str:
    fields = Config.model_fields
    if len(location) > 1:
        section = fields[location[0]].annotation
        fields = (
            section.model_fields
            if isinstance(section, type) and issubclass(section, BaseModel)
            else {}
        )
    close = difflib.get_close_matches(location[-1], fields, n=1)
    if close:
        return f"; did you mean {close[0]}?"
    return f"; known are {', '.join(fields)}"
