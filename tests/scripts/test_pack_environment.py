"""The archive of `make package`: moves, is the same for the same environment, and has no jars."""

import os
import subprocess
import sys
import tarfile
import venv
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "pack_environment.py"
VERSION = f"python{sys.version_info[0]}.{sys.version_info[1]}"


@pytest.fixture
def environment(tmp_path: Path) -> Path:
    folder = tmp_path / "environment"
    venv.create(folder, symlinks=True)
    packages = folder / "lib" / VERSION / "site-packages"
    (packages / "pyspark" / "jars").mkdir(parents=True)
    (packages / "pyspark" / "jars" / "spark.jar").write_bytes(b"jar")
    (packages / "pyspark" / "__init__.py").write_text("")
    (packages / "thing.py").write_text("VALUE = '似たもの'\n", encoding="utf-8")
    return folder


def pack(environment: Path, archive: Path, *prefix: str) -> str:
    done = subprocess.run(
        [sys.executable, SCRIPT, environment, archive, *prefix],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return done.stdout.strip()


def test_it_works_elsewhere(environment: Path, tmp_path: Path) -> None:
    needed = pack(environment, tmp_path / "packed.tar.gz")
    assert Path(needed) == Path(sys.executable).resolve()
    there = tmp_path / "there"
    with tarfile.open(tmp_path / "packed.tar.gz") as tar:
        # The links lead out of the archive, as they have to.
        tar.extractall(there, filter="fully_trusted")  # noqa: S202
    environment.rename(tmp_path / "gone")
    kept = {name: text for name, text in os.environ.items() if name != "PYTHONPATH"}
    for name in ("python", "python3", VERSION):
        said = subprocess.run(
            [there / "bin" / name, "-c", "import thing; print(thing.VALUE, thing.__file__)"],
            capture_output=True, text=True, check=True, env=kept | {"PYTHONIOENCODING": "utf-8"},
        )  # fmt: skip
        value, _, file = said.stdout.strip().partition(" ")
        assert value == "似たもの"
        assert Path(file).is_relative_to(there)


def test_the_same_environment_gives_the_same_bytes(environment: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        pack(environment, tmp_path / name)
        os.utime(next(environment.glob("lib/*/site-packages/thing.py")), (0, 0))
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_links_lead_to_the_prefix_and_jars_are_left_out(environment: Path, tmp_path: Path) -> None:
    assert pack(environment, tmp_path / "packed.tar.gz", "/usr") == f"/usr/bin/{VERSION}"
    with tarfile.open(tmp_path / "packed.tar.gz") as tar:
        names = tar.getnames()
        assert tar.getmember("bin/python").linkname == f"/usr/bin/{VERSION}"
        config = tar.extractfile("pyvenv.cfg")
        assert config is not None
        assert config.read() == b"home = /usr/bin\n"
    assert not [name for name in names if name.endswith(".jar")]
    assert f"lib/{VERSION}/site-packages/pyspark/__init__.py" in names
