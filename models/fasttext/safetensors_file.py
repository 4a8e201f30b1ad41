"""Safetensors files: written as a stream, read through a memory map.

The `safetensors` package writes tensors that are in memory, but a model may be larger than that.
The format is 8 bytes of header length, a JSON header, then the tensors without gaps. Here the
header has a fixed size and each tensor starts at a multiple of 64 bytes; a tensor of zeros fills
each gap, because the format allows none.
"""

import json
import math
import mmap
import os
import struct
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

import numpy as np
import numpy.typing as npt

from models.disk import map_file
from models.errors import ModelError

ALIGNMENT = 64
DATA_START = 1 << 13
_DTYPES: dict[str, np.dtype[Any]] = {
    "F16": np.dtype("<f2"),
    "F32": np.dtype("<f4"),
    "F64": np.dtype("<f8"),
    "I8": np.dtype("i1"),
    "I32": np.dtype("<i4"),
    "I64": np.dtype("<i8"),
    "U64": np.dtype("<u8"),
    "U8": np.dtype("u1"),
}
_NAMES = {dtype: name for name, dtype in _DTYPES.items()}
_PADDING = "padding"


class Writer:
    """Writes tensors one after another. Until `finish` the file has no header and is no model."""

    def __init__(self, path: Path) -> None:
        self._file: BinaryIO = path.open("wb")
        self._file.write(bytes(DATA_START))
        self._entries: dict[str, dict[str, Any]] = {}
        self._end = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()

    def add(
        self, name: str, dtype: npt.DTypeLike, inner: tuple[int, ...], parts: Iterable[np.ndarray]
    ) -> None:
        """Write a tensor that arrives in parts along its first axis.

        Args:
            name: name of the tensor.
            dtype: type of its values.
            inner: its shape without the first axis.
            parts: arrays of shape (any, *inner).
        """
        value_type = np.dtype(dtype)
        start, rows = self._end, 0
        for part in parts:
            self._file.write(np.ascontiguousarray(part, dtype=value_type).view(np.uint8).data)
            rows += len(part)
        size = rows * int(np.prod(inner, dtype=np.int64)) * value_type.itemsize
        self._register(name, value_type, [rows, *inner], start, size)
        if self._end % ALIGNMENT:
            gap = ALIGNMENT - self._end % ALIGNMENT
            self._file.write(bytes(gap))
            self._register(f"{_PADDING}.{name}", np.dtype("u1"), [gap], self._end, gap)

    def _register(
        self, name: str, dtype: np.dtype, shape: list[int], start: int, size: int
    ) -> None:
        self._end = start + size
        self._entries[name] = {
            "dtype": _NAMES[dtype],
            "shape": shape,
            "data_offsets": [start, self._end],
        }

    def finish(self, metadata: dict[str, str]) -> None:
        """Write the header, which completes the file, and flush the file to the disk.

        Raises:
            ModelError: the metadata is too long.
        """
        header = json.dumps({"__metadata__": metadata, **self._entries}, ensure_ascii=False)
        encoded = header.encode()
        space = DATA_START - 8
        if len(encoded) > space:
            raise ModelError(f"the header takes {len(encoded)} bytes, there is room for {space}")
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.seek(0)
        self._file.write(struct.pack("<Q", space) + encoded.ljust(space))
        self._file.flush()
        os.fsync(self._file.fileno())


class Appender(Writer):
    """Writes tensors after those of a complete file, which is no model until `finish`.

    Attributes:
        metadata: metadata that the file has so far.
    """

    def __init__(self, path: Path) -> None:
        """Open a file.

        Raises:
            ModelError: it is damaged, or another program wrote it.
        """
        read(path)
        data = map_file(path)
        self.metadata, self._entries, start = _header(data, path)
        if start != DATA_START:
            raise ModelError(
                f"{path}: another program wrote it, so nothing can be added to it; pack it again"
            )
        self._end = len(data) - start
        self._file = path.open("r+b")
        self._file.seek(0, os.SEEK_END)

    def drop_from(self, name: str) -> None:
        """Drop a tensor and all that were written after it; nothing if there is no such tensor."""
        names = list(self._entries)
        if name not in names:
            return
        self._end = self._entries[name]["data_offsets"][0]
        self._entries = {kept: self._entries[kept] for kept in names[: names.index(name)]}
        self._file.truncate(DATA_START + self._end)
        self._file.seek(0, os.SEEK_END)


def read(path: Path) -> tuple[dict[str, str], dict[str, np.ndarray]]:
    """Map a safetensors file.

    Returns:
        The metadata, and the tensors by name as read-only views.

    Raises:
        ModelError: the header is damaged, or the file has another size than the header says.
    """
    data = map_file(path)
    metadata, entries, start = _header(data, path)
    tensors: dict[str, np.ndarray] = {}
    end = 0
    for name, entry in sorted(entries.items(), key=lambda item: item[1]["data_offsets"]):
        dtype, shape = _DTYPES[entry["dtype"]], entry["shape"]
        count = math.prod(shape)
        if entry["data_offsets"] != [end, end + count * dtype.itemsize]:
            raise ModelError(f"{path}: its tensor {name} does not lie where it should; pack again")
        if start + entry["data_offsets"][1] > len(data):
            raise ModelError(f"{path}: cut short in its tensor {name}; copy it again or pack again")
        if not name.startswith(_PADDING):
            tensors[name] = np.frombuffer(data, dtype, count, start + end).reshape(shape)
        end = entry["data_offsets"][1]
    if start + end != len(data):
        raise ModelError(f"{path}: {len(data) - start - end} bytes too long; copy it again")
    return metadata, tensors


def _header(data: mmap.mmap, path: Path) -> tuple[dict[str, str], dict[str, Any], int]:
    if len(data) < 8:
        raise ModelError(f"{path}: cut short in its header; copy it again or pack again")
    (length,) = struct.unpack_from("<Q", data)
    if 8 + length > len(data):
        raise ModelError(f"{path}: cut short in its header; copy it again or pack again")
    try:
        entries = json.loads(data[8 : 8 + length])
        metadata = entries.pop("__metadata__", {})
        valid = all(
            entry["dtype"] in _DTYPES
            and all(isinstance(size, int) and size >= 0 for size in entry["shape"])
            and all(isinstance(offset, int) for offset in entry["data_offsets"])
            for entry in entries.values()
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelError(f"{path}: its header is damaged; copy it again or pack again") from error
    if not valid or not all(isinstance(value, str) for value in metadata.values()):
        raise ModelError(f"{path}: its header is damaged; copy it again or pack again")
    return metadata, entries, 8 + length
