"""The profile of a catalogue: numbers of its items, taken in the pass that makes them."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from pipeline import catalogue

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

_Source = catalogue.Source | catalogue.TableSource
TEXTS = ("title", "description")
# Different values of these are not counted: ids are all different, and descriptions long.
_NOT_COUNTED = ("item_id", "description")
# Letters are counted in all titles of small files, and of others in those of one item in so many,
# because a regular expression costs as much as the rest of the pass.
_SMALL_BYTES, _ONE_IN = 4 << 20, 16
_MAX_TITLE = 100
_NOT_JAPANESE = r"[^\p{IsHiragana}\p{IsKatakana}\p{IsHan}]+"
_NO_LETTERS = r"[^\p{L}]+"

# {"columns": {name: {"null": n, "distinct": n, "longest": n}}, "letters": n,
#  "japanese_letters": n}; `distinct` is there where values are counted, `longest` of texts.
Profile = dict[str, Any]


def columns_of(raw: "DataFrame", source: _Source, names: Iterable[str]) -> list[str]:
    """Those of an item's columns that the catalogue has.

    Args:
        raw: the catalogue as its files have it.
        source: the catalogue.
        names: an item's columns.
    """
    present = set(catalogue.data_columns(raw))
    return [name for name in names if source.source_name(name) in present]


def one_title_in(source: _Source) -> int:
    """Of how many items one has the letters of its title counted."""
    is_small = isinstance(source, catalogue.Source) and catalogue.total_bytes(source) < _SMALL_BYTES
    return 1 if is_small else _ONE_IN


def aggregates(columns: Iterable[str], is_item: "Column", one_in: int) -> dict[str, "Column"]:
    """The aggregates of rows that `profile` takes the values of.

    None of them depends on the order of the rows, nor on how many partitions there are.

    Args:
        columns: an item's columns that the catalogue has.
        is_item: whether a row is an item.
        one_in: of so many items one has the letters of its title counted.
    """
    from pyspark.sql import functions as F

    values: dict[str, Column] = {}
    for name in columns:
        column = F.col(name)
        is_null = catalogue.is_blank(column.cast("string"))
        values[f"null:{name}"] = F.count_if(is_item & is_null)
        if name not in _NOT_COUNTED:
            values[f"distinct:{name}"] = F.approx_count_distinct(F.when(is_item & ~is_null, column))
        if name in TEXTS:
            values[f"longest:{name}"] = F.max(F.when(is_item, F.length(column)))
    is_read = is_item & (F.pmod(F.xxhash64("item_id"), F.lit(one_in)) == 0)
    title = F.when(is_read, F.substring("title", 1, _MAX_TITLE))
    for name, others in (("letters", _NO_LETTERS), ("japanese_letters", _NOT_JAPANESE)):
        values[name] = F.sum(F.length(F.regexp_replace(title, others, "")))
    return values


def profile(values: Mapping[str, Any]) -> Profile:
    """The profile, of the values of `aggregates`."""
    columns: dict[str, dict[str, int]] = {}
    for key, value in values.items():
        measure, _, name = key.partition(":")
        if name:
            columns.setdefault(name, {})[measure] = value or 0
    letters = {name: values[name] or 0 for name in ("letters", "japanese_letters")}
    return {"columns": columns} | letters
