"""The items' lists in redis: their JSON, writing them and comparing them with the store's."""

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from redis import Redis

from pipeline.errors import StageError
from pipeline.export.parallel import Meter
from pipeline.export.redis.keys import NAMES_HASH, Keys, batched
from pipeline.export.source import Source

# Lists that one command sends.
_BATCH_LISTS = 500
# About so many files are sampled for the comparison, and so many lists of each.
_SAMPLE_FILES, _SAMPLE_LISTS = 64, 64
_NEEDS_ESCAPE = r'["\\[:cntrl:]]'


class ListWriter:
    """Writes a version's lists, file by file, and compares some of them with the store's."""

    def __init__(self, source: Source, client: Redis, keys: Keys) -> None:
        self._source, self._client, self._keys = source, client, keys
        self._progress = keys.progress(source.version)

    def written_files(self) -> dict[str, tuple[int, int]]:
        """Rows and items of each file that has been written, by the file's name."""
        fields: dict[Any, Any] = self._client.hgetall(self._progress)
        return {
            name.decode(): tuple(json.loads(value))
            for name, value in fields.items()
            if name.decode() != NAMES_HASH
        }

    def write(self, number: int, meter: Meter) -> None:
        """Write the lists of the items that begin in a file, then record that.

        Raises:
            StageError: lists are missing on the server a moment after they were written.
        """
        rows = items = 0
        for table in self._source.complete_lists(number):
            meter.add(table.num_rows)
            values = self._keyed_lists(table)
            pipe = self._client.pipeline(transaction=False)
            for batch in batched(values.items(), _BATCH_LISTS):
                pipe.mset(dict(batch))
                pipe.exists(*(key for key, _ in batch))
            present = sum(pipe.execute()[1::2])
            if present != len(values):
                raise StageError(
                    f"export: of {len(values)} lists the server has only {present} a moment after "
                    "they were written; see its maxmemory-policy and who else removes keys"
                )
            rows, items = rows + table.num_rows, items + len(values)
        self._client.hset(self._progress, self._source.name(number), json.dumps([rows, items]))

    def verify(self) -> tuple[int, int]:
        """Count what has been written, and compare a sample of the lists with the store's.

        Returns:
            the number of items, and of the lists that were compared.

        Raises:
            StageError: rows are missing, or lists are not the same.
        """
        written = self.written_files()
        rows = sum(file_rows for file_rows, _ in written.values())
        compared = different = 0
        file_count = len(self._source.files)
        for number in range(0, file_count, max(1, file_count // _SAMPLE_FILES)):
            sample = self._sample(number)
            values = self._client.mget(list(sample)) if sample else []
            pairs = zip(sample.values(), values, strict=True)
            different += sum(expected.encode() != value for expected, value in pairs)
            compared += len(sample)
        if different or rows != self._source.rows or len(written) != file_count:
            # The lists are written anew, not removed: readers may read this very version now.
            self._client.delete(self._progress)
            raise StageError(
                f"export: the lists written are not the store's: {rows:,} of "
                f"{self._source.rows:,} rows, {different} of {compared} lists read back are "
                "others; run it again: all are written anew"
            )
        return sum(items for _, items in written.values()), compared

    def _sample(self, number: int) -> dict[str, str]:
        """The first lists of a file, by their keys."""
        table = next(self._source.complete_lists(number), None)
        values = {} if table is None else self._keyed_lists(table)
        return dict(list(values.items())[:_SAMPLE_LISTS])

    def _keyed_lists(self, table: pa.Table) -> dict[str, str]:
        items, values = lists_as_json(table)
        keys = (self._keys.item(self._source.version, item) for item in items)
        return dict(zip(keys, values, strict=True))


def lists_as_json(table: pa.Table) -> tuple[Sequence[str], Sequence[str]]:
    """The items of a table of complete lists, and each item's list as JSON."""
    table = table.combine_chunks()
    starts = np.flatnonzero(table["rank"].to_numpy() == 1)
    similar = table["similar_id"].combine_chunks()
    if pc.any(pc.match_substring_regex(similar, _NEEDS_ESCAPE)).as_py():
        quoted = [json.dumps(item, ensure_ascii=False) for item in similar.to_pylist()]
        similar = pa.array(quoted, pa.string())
    else:
        similar = pc.binary_join_element_wise('"', similar, '"', "")
    # Arrow writes the shortest number that is this float32. What fills a list has none.
    scores = pc.fill_null(table["score"].combine_chunks().cast(pa.string()), "null")
    pairs = pc.binary_join_element_wise("[", similar, ",", scores, "]", "")
    offsets = pa.array(np.append(starts, len(pairs)).astype(np.int32))
    joined = pc.binary_join(pa.ListArray.from_arrays(offsets, pairs), ",")
    values = pc.binary_join_element_wise("[", joined, "]", "").to_pylist()
    return table["item_id"].take(pa.array(starts)).to_pylist(), values
