"""Pack a virtual environment for spark-submit's --archives.

Usage: pack_environment.py ENVIRONMENT ARCHIVE [PREFIX]

Like venv-pack, whose --python-prefix makes broken links of environments of Python 3.11; and the
same environment always gives the same bytes. The interpreter is not in the archive: bin/python is a
link to PREFIX/bin/python3.N, or to where it is here.
"""

import gzip
import sys
import tarfile
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

# Of Spark's jars the cluster has its own, and bytecode tells the time it was made at.
LEFT_OUT = ("pyspark/jars", "__pycache__")


def pack(environment: Path, archive: Path, prefix: str = "") -> str:
    """Write the archive.

    Args:
        environment: the virtual environment.
        archive: a .tar.gz file.
        prefix: of the hosts' interpreter, /usr for instance; empty: of that here.

    Returns:
        the path that the hosts need an interpreter under.
    """
    here = Path(environment, "bin", "python").resolve()
    version = next(environment.glob("lib/python3.*")).name
    there = f"{prefix}/bin/{version}" if prefix else str(here)
    with (
        archive.open("wb") as raw,
        # Neither a name nor a time in the header.
        gzip.GzipFile(filename="", fileobj=raw, mode="wb", compresslevel=6, mtime=0) as zipped,
        tarfile.open(fileobj=zipped, mode="w", format=tarfile.PAX_FORMAT) as tar,
    ):
        _add(tar, "pyvenv.cfg", f"home = {Path(there).parent}\n".encode())
        for name in ("python", "python3", version):
            _link(tar, f"bin/{name}", there)
        for path in _files(environment):
            _add(tar, str(path.relative_to(environment)), path.read_bytes(), path.stat().st_mode)
    return there


def _files(environment: Path) -> Iterator[Path]:
    for path in sorted(environment.glob("lib/**/*")):
        if path.is_file() and not any(f"/{part}/" in f"{path}/" for part in LEFT_OUT):
            yield path


def _add(tar: tarfile.TarFile, name: str, content: bytes, mode: int = 0) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(content)
    entry.mode = 0o755 if mode & 0o100 else 0o644
    tar.addfile(entry, BytesIO(content))


def _link(tar: tarfile.TarFile, name: str, target: str) -> None:
    entry = tarfile.TarInfo(name)
    entry.type, entry.linkname, entry.mode = tarfile.SYMTYPE, target, 0o777
    tar.addfile(entry)


if __name__ == "__main__":
    sys.stdout.write(f"{pack(Path(sys.argv[1]), Path(sys.argv[2]), *sys.argv[3:])}\n")
