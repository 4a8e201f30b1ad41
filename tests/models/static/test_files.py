"""What a static model's directory and packed file must hold, and how the file is shared."""

import json
import mmap
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from models import ModelError, static
from models.fasttext import add_statistics
from models.fasttext.catalogue_statistics import DocumentCounter
from models.fasttext.embedder import Embedder
from models.fasttext.token_batch import TokenBatch
from tests.models.static.files import DIM, WORDS, model2vec_model, rows


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    model2vec_model(tmp_path / "model")
    return tmp_path / "model"


def test_the_description_is_complete(directory: Path, tmp_path: Path) -> None:
    packed = static.pack(directory, tmp_path / "packed", dim=8)
    described = json.loads(packed.with_name("model.json").read_text())
    assert described["kind"] == "static"
    assert (described["dim"], described["tokens"]) == ("8", str(len(WORDS)))
    assert described["bytes"] == packed.stat().st_size


def test_packing_twice_gives_the_same_file(directory: Path, tmp_path: Path) -> None:
    first, second = (static.pack(directory, tmp_path / name) for name in ("a", "b"))
    assert first.read_bytes() == second.read_bytes()


def test_the_table_is_mapped(directory: Path, tmp_path: Path) -> None:
    model = static.load(static.pack(directory, tmp_path / "packed"))
    assert isinstance(model, static.StaticEmbedder)
    base: Any = model._rows
    while isinstance(base, np.ndarray) and base.base is not None:
        base = base.base
    source = base.obj if isinstance(base, memoryview) else base
    assert isinstance(source, mmap.mmap)
    assert not model._rows.flags.writeable


def test_a_loaded_model_says_how_to_ship_it(directory: Path, tmp_path: Path) -> None:
    model = static.load(static.pack(directory, tmp_path / "packed"))
    with pytest.raises(ModelError, match=r"is not pickled.*models\.ship\("):
        pickle.dumps(model)


def test_it_carries_the_statistics_of_a_catalogue(directory: Path, tmp_path: Path) -> None:
    packed = static.pack(directory, tmp_path / "packed")
    before = static.load(packed).embed([["赤い 靴"]])
    counter = DocumentCounter()
    counter.add(TokenBatch.from_arrow(*Embedder.flatten([["赤い", "靴"], ["青い", "靴"]])))
    add_statistics(packed, counter.finish(rows(1)[0]))
    model = static.load(packed)
    assert model.statistics is not None
    assert model.statistics.documents == 2
    assert np.array_equal(model.statistics.common_direction, rows(1)[0])
    assert np.array_equal(model.embed([["赤い 靴"]]), before)
    assert json.loads(packed.with_name("model.json").read_text())["kind"] == "static"


def test_a_directory_without_a_table_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no static model: give the directory"):
        static.pack(tmp_path, tmp_path / "packed")


def test_a_missing_tokenizer_is_named(directory: Path, tmp_path: Path) -> None:
    (directory / "tokenizer.json").unlink()
    with pytest.raises(ModelError, match=r"no tokenizer\.json beside model\.safetensors"):
        static.pack(directory, tmp_path / "packed")


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("tokenizer.json", b"{", "its tokenizer.json is damaged"),
        ("config.json", b"{", "not JSON"),
        ("model.safetensors", b"\x00" * 40, "header is damaged"),
    ],
)
def test_a_damaged_file_is_named(
    directory: Path, tmp_path: Path, name: str, content: bytes, reason: str
) -> None:
    (directory / name).write_bytes(content)
    with pytest.raises(ModelError, match=reason):
        static.pack(directory, tmp_path / "packed")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"embeddings": rows(4)}, "4 rows, and tokenizer.json has 10 tokens"),
        ({"embeddings": rows(10) * np.float32(np.nan)}, "values that are not finite"),
        ({"mapping": np.full(10, 10)}, "its mapping names rows that are not there"),
        ({"weights": np.ones(3, np.float32)}, "its tensor weights has the shape"),
        ({"other": rows(10), "embeddings": None}, "no table of token vectors"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(
    directory: Path, tmp_path: Path, changes: dict[str, np.ndarray | None], reason: str
) -> None:
    arrays = load_file(directory / "model.safetensors") | changes
    kept = {name: array for name, array in arrays.items() if array is not None}
    save_file(kept, directory / "model.safetensors")
    with pytest.raises(ModelError, match=reason):
        static.pack(directory, tmp_path / "packed")
    assert not (tmp_path / "packed" / "model.safetensors").exists()


def test_more_dimensions_than_there_are_can_not_be_kept(directory: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=f"vectors have {DIM} dimensions; 99 can't be kept"):
        static.pack(directory, tmp_path / "packed", dim=99)


def test_values_too_large_for_half_precision_are_refused(tmp_path: Path) -> None:
    model2vec_model(tmp_path / "model", vectors=rows(10) * 1e6)
    with pytest.raises(ModelError, match="do not fit float16"):
        static.pack(tmp_path / "model", tmp_path / "packed", float16=True)


def test_another_checksum_is_refused(directory: Path, tmp_path: Path) -> None:
    packed = static.pack(directory, tmp_path / "packed")
    with pytest.raises(ModelError, match="its sha256 is"):
        static.load(packed, sha256="0" * 64)
