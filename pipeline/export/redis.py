"""Export to redis: a key an item, under the version's name, and a pointer that is set last.

PREFIX:LATEST is the version that readers take; PREFIX:VERSION:ITEM_ID is its list, in JSON:
[[similar_id, score], ...], the best first. PREFIX:VERSIONS are the versions that have keys,
PREFIX:PROGRESS:VERSION which files have been written. Writing a list twice does no harm, so a file
that was broken off is written again.
"""

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from redis import Redis

from pipeline.errors import StageError
from pipeline.export import work
from pipeline.export.address import Address, with_environment
from pipeline.export.options import Options
from pipeline.export.redis_server import PASSWORD, connect, explained, locked, see_that_it_keeps
from pipeline.export.source import Source
from pipeline.terminal.progress import StageLine

# Lists sent in one command.
_BATCH = 500
_SCANNED = 1000
# What is read back: of so many files so many lists.
_SAMPLED_FILES, _SAMPLED_ITEMS = 64, 64
_T = TypeVar("_T")
_FILES = ".files"
_ESCAPED = r'["\\[:cntrl:]]'


@dataclass(frozen=True)
class Keys:
    """The names of the keys.

    Attributes:
        prefix: of all.
    """

    prefix: str

    @property
    def latest(self) -> str:
        """The version that readers take."""
        return f"{self.prefix}:LATEST"

    @property
    def versions(self) -> str:
        """The set of the versions that have keys."""
        return f"{self.prefix}:VERSIONS"

    @property
    def lock(self) -> str:
        """Who exports."""
        return f"{self.prefix}:LOCK"

    def progress(self, version: str) -> str:
        """Which files of a version have been written: rows and items of each."""
        return f"{self.prefix}:PROGRESS:{version}"

    def item(self, version: str, item: str) -> str:
        """An item's list."""
        return f"{self.prefix}:{version}:{item}"

    def pattern(self, version: str) -> str:
        """All lists of a version, as SCAN takes it."""
        plain = self.item(version, "")
        return "".join(f"\\{char}" if char in "\\*?[]^-" else char for char in plain) + "*"


def export(source: Source, address: Address, options: Options, line: StageLine) -> dict[str, Any]:
    """Make the lists of a version those that readers take.

    Returns:
        what was done, for the result.

    Raises:
        StageError: the server fails; readers take what they took before.
        LockedError: another export to this prefix is under way.
    """
    address = with_environment(address, os.environ, PASSWORD)
    keys, meter = Keys(options.prefix), work.Meter(line, source.rows)
    with explained(address), connect(address) as client:
        see_that_it_keeps(client, address)
        with locked(client, keys.lock, meter.stop) as held:
            shown = {"prefix": keys.prefix, "files": len(source.files)}
            before = _text(client.get(keys.latest))
            if before == source.version and not options.again:
                return {**shown, "done": "already"}
            line.note = "removing versions that nobody reads"
            _prepare(client, keys, source, before)
            fill = _Fill(source, client, keys)
            done = fill.done()
            meter.before(sum(rows for rows, _ in done.values()))
            left = [n for n in range(len(source.files)) if source.name(n) not in done]
            work.each(left, lambda number: fill.write(number, meter), options.jobs, meter)
            line.note = "comparing lists with the store's"
            items, compared = fill.checked()
            held.point(keys.latest, source.version)
            if before and before != source.version and options.keep_seconds is not None:
                line.note = "letting the old version expire"
                _forget(client, keys, before, options.keep_seconds)
    return {
        **shown,
        "done": "exported",
        "items": items,
        "checked": f"counted, and {compared:,} lists read back and compared",
        "files_copied": len(left),
    }


def _prepare(client: "Redis", keys: Keys, source: Source, before: str) -> None:
    """Remove what nobody reads any more; keep what a broken-off export of this version has done."""
    names = "\n".join(map(source.name, range(len(source.files))))
    files = hashlib.sha256(names.encode()).hexdigest()
    for version in sorted(map(_text, client.smembers(keys.versions))):
        if version not in (before, source.version):
            _forget(client, keys, version)
    progress = keys.progress(source.version)
    if source.version == before:
        client.delete(progress)
    elif _text(client.hget(progress, _FILES)) != files:
        # Another store's table of this name, or what was being removed.
        _forget(client, keys, source.version)
    client.sadd(keys.versions, source.version)
    client.hset(progress, _FILES, files)


def _forget(client: "Redis", keys: Keys, version: str, seconds: int = 0) -> None:
    """Remove a version's keys, now or after some seconds; broken off, the next export goes on."""
    client.delete(keys.progress(version))
    for some in _batched(client.scan_iter(match=keys.pattern(version), count=_SCANNED), _SCANNED):
        if not seconds:
            client.unlink(*some)
            continue
        pipe = client.pipeline(transaction=False)
        for key in some:
            pipe.expire(key, seconds)
        pipe.execute()
    client.srem(keys.versions, version)


class _Fill:
    """Writes the lists of files."""

    def __init__(self, source: Source, client: "Redis", keys: Keys) -> None:
        self._source, self._client, self._keys = source, client, keys
        self._progress = keys.progress(source.version)

    def done(self) -> dict[str, tuple[int, int]]:
        """Rows and items of the files that have been written."""
        raw: dict[Any, Any] = self._client.hgetall(self._progress)
        return {
            name.decode(): tuple(json.loads(value))
            for name, value in raw.items()
            if name.decode() != _FILES
        }

    def write(self, number: int, meter: work.Meter) -> None:
        """Write the lists of the items that begin in a file, then note that."""
        rows = items = 0
        for table in self._source.whole_items(number):
            meter.add(table.num_rows)
            found = self._lists(table)
            pipe = self._client.pipeline(transaction=False)
            for some in _batched(found.items(), _BATCH):
                pipe.mset(dict(some))
                pipe.exists(*(key for key, _ in some))
            there = sum(pipe.execute()[1::2])
            if there != len(found):
                raise StageError(
                    f"export: of {len(found)} lists the server has only {there} a moment after "
                    "they were written; see its maxmemory-policy and who else removes keys"
                )
            rows, items = rows + table.num_rows, items + len(found)
        self._client.hset(self._progress, self._source.name(number), json.dumps([rows, items]))

    def checked(self) -> tuple[int, int]:
        """See that all is there: everything counted, some lists compared.

        Returns:
            the number of items, and of the lists that were compared.

        Raises:
            StageError: it is not.
        """
        done = self.done()
        rows = sum(rows for rows, _ in done.values())
        compared = wrong = 0
        count = len(self._source.files)
        step = max(1, count // _SAMPLED_FILES)
        for number in range(0, count, step):
            wanted = dict(list(self._first(number))[:_SAMPLED_ITEMS])
            found = self._client.mget(list(wanted)) if wanted else []
            values = [value.encode() for value in wanted.values()]
            wrong += sum(a != b for a, b in zip(values, found, strict=True))
            compared += len(wanted)
        if wrong or rows != self._source.rows or len(done) != count:
            # What readers take now may be this very version: it is written anew, not removed.
            self._client.delete(self._progress)
            raise StageError(
                f"export: the lists written are not the store's: {rows:,} of "
                f"{self._source.rows:,} rows, {wrong} of {compared} lists read back are others; "
                "run it again: all are written anew"
            )
        return sum(items for _, items in done.values()), compared

    def _first(self, number: int) -> Iterator[tuple[str, str]]:
        for table in self._source.whole_items(number):
            yield from self._lists(table).items()
            return

    def _lists(self, table: pa.Table) -> dict[str, str]:
        ids, values = lists(table)
        keys = (self._keys.item(self._source.version, item) for item in ids)
        return dict(zip(keys, values, strict=True))


def lists(table: pa.Table) -> tuple[Sequence[str], Sequence[str]]:
    """Items and their lists in JSON, of a table whose items are whole."""
    table = table.combine_chunks()
    starts = np.flatnonzero(table["rank"].to_numpy() == 1)
    similar = table["similar_id"].combine_chunks()
    if pc.any(pc.match_substring_regex(similar, _ESCAPED)).as_py():
        quoted = [json.dumps(one, ensure_ascii=False) for one in similar.to_pylist()]
        similar = pa.array(quoted, pa.string())
    else:
        similar = pc.binary_join_element_wise('"', similar, '"', "")
    # The shortest number that is this float32.
    scores = table["score"].combine_chunks().cast(pa.string())
    pairs = pc.binary_join_element_wise("[", similar, ",", scores, "]", "")
    offsets = pa.array(np.append(starts, len(pairs)).astype(np.int32))
    joined = pc.binary_join(pa.ListArray.from_arrays(offsets, pairs), ",")
    values = pc.binary_join_element_wise("[", joined, "]", "").to_pylist()
    return table["item_id"].take(pa.array(starts)).to_pylist(), values


def _batched(values: Iterable[_T], count: int) -> Iterator[list[_T]]:
    """So many at a time."""
    rest = iter(values)
    while some := list(islice(rest, count)):
        yield some


def _text(value: object) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else ""
