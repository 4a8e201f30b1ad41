"""The packed file: complete or absent, readable by others, mapped, checked when loaded."""

import gzip
import hashlib
import json
import pickle
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from pyspark.sql import SparkSession
from safetensors import safe_open

from models import ModelError, fasttext
from models.fasttext import safetensors_file
from tests.models.fasttext import files
from tests.models.fasttext.files import Bin

ROOT = Path(__file__).parents[3]


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A small valid .bin."""
    return Bin().write(tmp_path / "model.bin")


def test_the_file_is_safetensors_aligned_and_described(model: Path, tmp_path: Path) -> None:
    packed = fasttext.pack(model, tmp_path / "out", text_fingerprint="規則-1")
    source = hashlib.sha256(model.read_bytes()).hexdigest()
    with safe_open(packed, framework="numpy") as file:
        metadata = file.metadata()
        vectors = file.get_tensor("vectors")
        assert file.get_tensor("rows").shape == (11, 4)
        assert file.get_tensor("word_bytes").tobytes() == "りんご箱apple</s>".encode() + bytes(8)
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(1)
    assert metadata["source_sha256"] == source
    assert metadata["text_fingerprint"] == "規則-1"
    header = json.loads(
        packed.read_bytes()[8 : 8 + int.from_bytes(packed.read_bytes()[:8], "little")]
    )
    start = 8 + int.from_bytes(packed.read_bytes()[:8], "little")
    offsets = [
        start + entry["data_offsets"][0]
        for name, entry in header.items()
        if name != "__metadata__" and not name.startswith("padding")
    ]
    assert [offset % 64 for offset in offsets] == [0] * len(offsets)
    description = json.loads((packed.parent / "model.json").read_text(encoding="utf-8"))
    assert description["sha256"] == hashlib.sha256(packed.read_bytes()).hexdigest()
    assert [description[name] for name in ("source_sha256", "dim", "model")] == [
        source,
        4,
        "skipgram",
    ]
    read = fasttext.read_header(packed)
    assert (read.minn, read.maxn, read.bucket, read.text_fingerprint) == (2, 3, 11, "規則-1")


def test_packing_again_gives_the_same_bytes(model: Path, tmp_path: Path) -> None:
    first = fasttext.pack(model, tmp_path / "a")
    assert first.read_bytes() == fasttext.pack(model, tmp_path / "b").read_bytes()


def test_word_vectors_as_text_are_the_lines(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    words = [*(f"語{n}" for n in range(40)), "二 語", "nul", "語3"]
    vectors = rng.standard_normal((43, 7)).round(3)
    vectors[41] = 0
    path = files.vec(tmp_path / "v.vec", words, vectors)
    other = files.vec(tmp_path / "w.vec", words, vectors, space="")
    compressed = tmp_path / "v.vec.gz"
    compressed.write_bytes(gzip.compress(path.read_bytes()))
    unit = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-30)
    lists = [
        ["語1"],
        ["語3", "語5"],
        ["二 語", "知らない"],
        ["nul", "語2"],
        ["nul"],
        ["知らない"],
        [],
    ]
    expected = [unit[1], (unit[3] + unit[5]) / 2, unit[40], unit[2]]
    for file in (path, other, compressed, fasttext.pack(compressed, tmp_path / "out")):
        embedded = fasttext.load(file).embed(lists)
        assert np.abs(embedded[:4] - np.array(expected)).max() < 1e-6
        assert not embedded[4:].any()


def test_a_damaged_packed_file_is_refused(model: Path, tmp_path: Path) -> None:
    complete = fasttext.pack(model, tmp_path).read_bytes()
    length = int.from_bytes(complete[:8], "little")
    path = tmp_path / "damaged.safetensors"
    damages = {
        complete[:-1]: "cut short in its tensor",
        complete[: len(complete) // 2]: "cut short in its header|not a fastText model",
        complete[:4000]: "cut short in its header",
        complete + b"\0": "1 bytes too long",
        complete.replace(b'"bucket": "11"', b'"bucket": "12"'): "its tensor rows does not fit",
        complete.replace(b'"dim": "4"', b'"dim": "5"'): "its tensor vectors does not fit",
        complete.replace(b'"nwords": "4"', b'"nwords": "x"'): "its header is damaged",
        complete.replace(b'"version": "1"', b'"version": "9"'): "packed in format 9, this program",
        complete.replace(b"nitamono.fasttext", b"somebody.elses.xx"): "not a packed fastText model",
        complete.replace(b'"F32"', b'"F99"'): "its header is damaged",
        complete[:8] + bytes(length) + complete[8 + length :]: "not a fastText model",
        complete[:9] + b"x" * 20 + complete[29:]: "its header is damaged",
    }
    for content, reason in damages.items():
        path.write_bytes(content)
        with pytest.raises(ModelError, match=reason):
            fasttext.load(path)
    for content in (complete, *damages):
        path.write_bytes(content)
        with pytest.raises(ModelError, match=r"packed already|not a fastText model"):
            fasttext.pack(path, tmp_path / "out")


def test_loading_takes_milliseconds_whatever_the_size(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    matrix = rng.standard_normal((100_004, 100), dtype=np.float32)
    path = Bin(dim=100, bucket=100_000, matrix=matrix).write(tmp_path / "model.bin")
    packed = fasttext.pack(path, tmp_path)
    assert packed.stat().st_size > 40_000_000
    times = []
    for _ in range(5):
        start = time.perf_counter()
        fasttext.load(packed)
        times.append(time.perf_counter() - start)
    assert min(times) < 0.02


def run(code: str, *args: object) -> subprocess.CompletedProcess[str]:
    """Run code in a new Python process, from the project's root."""
    command = [sys.executable, "-c", code, *map(str, args)]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=60)


def test_a_full_disk_leaves_nothing(model: Path, tmp_path: Path) -> None:
    code = """
import resource, signal, sys
from models import ModelError, fasttext
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (8500, 8500))
try:
    fasttext.pack(sys.argv[1], sys.argv[2])
except ModelError as error:
    print(error)
"""
    done = run(code, model, tmp_path / "out")
    assert "can't be written: File too large" in done.stdout
    assert list((tmp_path / "out").iterdir()) == []


def test_a_killed_pack_leaves_no_model(tmp_path: Path) -> None:
    """Killed while it writes rows, it leaves a temporary file that can't be loaded."""
    path = Bin(dim=50, bucket=20_000).write(tmp_path / "model.bin")
    code = """
import os, signal, sys
from models import fasttext
from models.fasttext.binary_source import BinarySource
all_rows = BinarySource.rows
def rows(self):
    for number, part in enumerate(all_rows(self)):
        if number == 3:
            os.kill(os.getpid(), signal.SIGKILL)
        yield part
BinarySource.rows = rows
fasttext.pack(sys.argv[1], sys.argv[2])
"""
    done = run(code, path, tmp_path / "out")
    assert done.returncode == -signal.SIGKILL
    leftovers = list((tmp_path / "out").iterdir())
    assert [file.name.startswith(".") for file in leftovers] == [True]
    with pytest.raises(ModelError):
        fasttext.load(leftovers[0])


def test_a_failed_pack_leaves_the_old_one(model: Path, tmp_path: Path) -> None:
    packed = fasttext.pack(model, tmp_path / "out")
    before = {file.name: file.read_bytes() for file in packed.parent.iterdir()}
    large = Bin(matrix=np.full((15, 4), 1e5)).write(tmp_path / "large.bin")
    with pytest.raises(ModelError, match="do not fit float16"):
        fasttext.pack(large, tmp_path / "out", float16=True)
    assert {file.name: file.read_bytes() for file in packed.parent.iterdir()} == before


def test_packing_needs_less_memory_than_the_model(tmp_path: Path) -> None:
    rows = np.zeros((200_004, 200), dtype=np.float32)
    path = Bin(dim=200, bucket=200_000, matrix=rows).write(tmp_path / "model.bin")
    code = """
import resource, sys
from models import fasttext
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
fasttext.pack(sys.argv[1], sys.argv[2])
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    done = run(code, path, tmp_path / "out")
    assert int(done.stdout) << 10 < path.stat().st_size / 2


def test_processes_share_a_mapped_model(tmp_path: Path) -> None:
    path = Bin(dim=100, bucket=100_000, matrix=np.ones((100_004, 100))).write(tmp_path / "m.bin")
    code = """
import sys
from models import fasttext
model = fasttext.load(sys.argv[1])
model._vectors._model.rows.sum()
print(open("/proc/self/smaps").read())
"""
    packed = fasttext.pack(path, tmp_path)
    done = run(code, packed)
    mapped = done.stdout.split(str(packed), 1)[1].splitlines()[1:]
    kilobytes = {
        line.split(":")[0]: int(line.split()[1]) for line in mapped[:12] if line.endswith("kB")
    }
    assert kilobytes["Rss"] > 39_000
    assert kilobytes["Private_Dirty"] == 0


def test_the_cache_of_words_outside_the_vocabulary_is_bounded(model: Path, tmp_path: Path) -> None:
    packed = fasttext.load(fasttext.pack(model, tmp_path))
    assert isinstance(packed, fasttext.Embedder)
    cache = packed._vectors.oov.cache  # type: ignore[union-attr]
    cache.capacity = 100
    lists = [[f"語{n}", f"品{n % 7}"] for n in range(1000)]
    first = packed.embed(lists)
    assert len(cache) == 100
    again = np.concatenate([packed.embed(lists[n : n + 10]) for n in range(0, 1000, 10)])
    assert len(cache) == 100
    assert np.abs(again - first).max() < 1e-6


def test_pickling_says_how_to_ship(model: Path, tmp_path: Path) -> None:
    for path in (model, fasttext.pack(model, tmp_path)):
        loaded = fasttext.load(path)
        with pytest.raises(ModelError, match=r"models\.ship\("):
            pickle.dumps(loaded)


def test_spark_shows_how_to_ship(model: Path, tmp_path: Path, spark: SparkSession) -> None:
    from pyspark.sql.functions import udf

    for path in (model, fasttext.pack(model, tmp_path)):
        loaded = fasttext.load(path)
        with pytest.raises(ModelError, match=r"models\.ship\(") as broadcast:
            spark.sparkContext.broadcast(loaded)
        embed = udf(lambda word, loaded=loaded: float(loaded.embed([[word]])[0, 0]), "float")
        with pytest.raises(ModelError, match=r"models\.ship\(") as closure:
            spark.range(1).select(embed("id")).collect()
        for error in (broadcast, closure):
            assert not isinstance(error.value, pickle.PicklingError)


def test_a_header_too_long_is_refused(tmp_path: Path) -> None:
    with (
        safetensors_file.Writer(tmp_path / "long.safetensors") as writer,
        pytest.raises(ModelError, match="there is room for"),
    ):
        writer.finish({"text": "x" * 10_000})
