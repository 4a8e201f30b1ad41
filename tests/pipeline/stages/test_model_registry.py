"""Models in the store, by the command: looked at, copied to another place and back."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models import fasttext
from models.content import file_sha256
from models.static import distil
from pipeline.cli import main as cli
from pipeline.config import reading as config
from pipeline.errors import InputError, UsageError
from pipeline.stages.context import Job
from pipeline.stages.tokenize import stage as tokenize
from pipeline.stages.train import definition, model_registry
from pipeline.store.stage_record import StageRecord
from pipeline.store.store import Store
from tests.models.conftest import BUCKET
from tests.pipeline.places import on_disk
from tests.s3.proxy import Proxy

Say = Callable[..., str]
SETTINGS = '[catalogue]\npath = "x.csv"\n[model]\ndim = 4\n'


@pytest.fixture
def vec(tmp_path: Path) -> Path:
    """A small model as text."""
    rng = np.random.default_rng(3)
    rows = [" ".join([w, *(f"{x:.4f}" for x in rng.standard_normal(4))]) for w in ("靴", "帽子")]
    path = tmp_path / "model.vec"
    path.write_text("\n".join(["2 4", *rows, ""]), encoding="utf-8")
    return path


class Shop:
    """A store with a config."""

    def __init__(self, folder: Path, more: str = "") -> None:
        folder.mkdir()
        self.file = folder / "nitamono.toml"
        self.file.write_text(f'[store]\npath = "store"\n{SETTINGS}{more}', encoding="utf-8")
        self.settings = config.load(self.file, (), {})
        self.store = Store(self.settings.store.path)

    def train(self, vec: Path, fingerprint: str = "0123456789abcdef") -> StageRecord:
        """Put a model into the store as a training does."""
        job = Job(self.settings, self.store, "night1")
        text = tokenize.text_fingerprint(job)
        with self.store.models.new_folder() as folder:
            packed = fasttext.pack(vec, folder, text_fingerprint=text)
            sha256 = file_sha256(packed)
            self.store.models.save(folder, sha256, packed.name)
        record = StageRecord(
            stage="train",
            fingerprint=fingerprint,
            run_id="night1",
            inputs={"training": definition.training_settings(job), "tokens": "t"},
            tables={},
            counts={"sampled_items": 1234, "words": 2, "model_bytes": 99},
            outputs={"kind": "fasttext", "file": packed.name, "sha256": sha256, "dim": 4}
            | {"text_fingerprint": text, "statistics": True},
        )
        self.store.write_record(record)
        self.store.models.set_current(self.key(record), fingerprint)
        return record

    def key(self, record: StageRecord) -> str:
        return definition.model_key(record.inputs["training"], record.outputs["text_fingerprint"])

    def current_model(self, record: StageRecord) -> StageRecord | None:
        return self.store.current_model(self.key(record))


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str]) -> Say:
    """Run the command `model` in this process; returns what it prints."""

    def say(*arguments: object) -> str:
        cli.execute(["model", *map(str, arguments)])
        return capsys.readouterr().out

    return say


def test_a_file_is_packed_and_told_what_it_is(vec: Path, tmp_path: Path, say: Say) -> None:
    assert f"packed                {tmp_path}" not in say("pack", vec, tmp_path / "out")
    packed = tmp_path / "out" / "model.safetensors"
    assert fasttext.load(packed).dim == 4
    about = json.loads(say("info", packed, "--json"))
    assert (about["kind"], about["dim"], about["nwords"], about["packed"]) == (
        "fasttext",
        4,
        2,
        True,
    )
    assert about["sha256"] == file_sha256(packed)
    assert json.loads(say("info", vec, "--json"))["packed"] is False
    assert "dim                   4" in say("info", vec)


def test_the_stores_models_are_listed_and_the_current_one_is_told(
    vec: Path, tmp_path: Path, say: Say
) -> None:
    shop = Shop(tmp_path / "shop")
    assert json.loads(say("list", "--config", shop.file, "--json")) == []
    record = shop.train(vec)
    (model,) = json.loads(say("list", "--config", shop.file, "--json"))
    assert model.pop("trained").startswith("20")
    assert model == {
        "hash": record.outputs["sha256"][:16],
        "kind": "fasttext",
        "dim": 4,
        "words": 2,
        "sampled_items": 1234,
        "bytes": 99,
        "run_id": "night1",
        "current": True,
    }
    assert say("list", "--config", shop.file).splitlines()[1].endswith("by night1  current")
    about = json.loads(say("info", "--config", shop.file, "--json"))
    assert (about["sha256"], about["run_id"]) == (record.outputs["sha256"], "night1")
    other = json.loads(say("list", "--config", shop.file, "--set", "model.dim=5", "--json"))
    assert [model["current"] for model in other] == [False]


@pytest.mark.parametrize("place", ["folder", "s3"])
def test_a_model_goes_to_another_store_and_becomes_current_only_when_told(
    vec: Path, tmp_path: Path, say: Say, proxy: Proxy, place: str
) -> None:
    reach = f'[s3]\nendpoint = "{proxy.url}"\nregion = "us-east-1"\n'
    here, there = Shop(tmp_path / "here", reach), Shop(tmp_path / "there", reach)
    record = here.train(vec)
    target = f"s3://{BUCKET}/models/spring" if place == "s3" else str(tmp_path / "spring")
    for _ in range(2):
        assert target in say("push", target, "--config", here.file)
    output = say("pull", target, "--config", there.file)
    assert "the current model stays" in output
    assert there.current_model(record) is None
    path = there.store.models.file(record)
    assert path.read_bytes() == here.store.models.file(record).read_bytes()
    assert sorted(each.name for each in path.parent.iterdir()) == ["model.json", path.name]
    assert "new runs use it" in say("pull", target, "--use", "--config", there.file)
    assert there.current_model(record) == record
    assert [each.name for each in (tmp_path / "there" / "store" / "models").iterdir()] in (
        [path.parent.name, "current"],
        ["current", path.parent.name],
    )


def damage(folder: Path) -> None:
    file = folder / "model.safetensors"
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.unlink()
    file.write_bytes(data)


def rename(folder: Path, **changed: Any) -> None:
    raw = json.loads((folder / "record.json").read_text())
    raw["outputs"] |= changed
    (folder / "record.json").write_text(json.dumps(raw))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (damage, "the sha256 of model.safetensors is .* replaced or damaged; push it again"),
        (lambda folder: (folder / "record.json").unlink(), "give the model as model.path"),
        (lambda folder: (folder / "record.json").write_text('{"a": 1}'), r"record\.json is dam"),
        (lambda folder: rename(folder, file="../../x"), "can't be a file inside"),
        (lambda folder: rename(folder, sha256="../../.."), "not of a model's training"),
    ],
    ids=["damaged", "no record", "another json", "file outside", "hash outside"],
)
def test_what_is_not_what_was_pushed_is_refused(
    vec: Path, tmp_path: Path, say: Say, spoil: Callable[[Path], object], message: str
) -> None:
    here, there = Shop(tmp_path / "here"), Shop(tmp_path / "there")
    record = here.train(vec)
    say("push", tmp_path / "spring", "--config", here.file)
    spoil(tmp_path / "spring")
    with pytest.raises(InputError, match=message):
        say("pull", tmp_path / "spring", "--config", there.file)
    assert not there.store.models.path(record.outputs["sha256"]).exists()
    assert list((there.store.root / "models").iterdir()) == []
    # What was pushed shares no file with the store.
    assert file_sha256(on_disk(here.store.models.file(record))) == record.outputs["sha256"]


def test_wrong_use_is_told(vec: Path, tmp_path: Path, say: Say) -> None:
    shop = Shop(tmp_path / "shop")
    with pytest.raises(UsageError, match="no current model under these settings; run: nitamono"):
        say("push", tmp_path / "x", "--config", shop.file)
    with pytest.raises(UsageError, match="give a FILE, or --config"):
        say("info")
    with pytest.raises(InputError, match="no such folder"):
        say("pull", tmp_path / "none", "--config", shop.file)
    with pytest.raises(InputError, match=r"model info: .*none.*no such file"):
        say("info", tmp_path / "none.bin")
    with pytest.raises(InputError, match=r"model pack: .*README"):
        say("pack", Path(__file__).parents[3] / "README.md", tmp_path / "out")
    shop.train(vec)
    with pytest.raises(UsageError, match="exists and is no pushed model"):
        say("push", tmp_path, "--config", shop.file)
    say("push", tmp_path / "spring", "--config", shop.file)
    other = Shop(tmp_path / "other", "epoch = 7\n")
    with pytest.raises(UsageError, match=r"set model\.epoch = 0, or use it with model\.path"):
        say("pull", tmp_path / "spring", "--use", "--config", other.file)
    # A setting that the training did without, and one that names a file by its content.
    file = distil.write(
        ["水"], np.ones((1, 3), np.float32), tmp_path, text_fingerprint="", float16=False
    )
    both = Shop(tmp_path / "both", f'distilled = "{file}"\n')
    with pytest.raises(UsageError, match=r"set model\.distilled = '', or use it with model\.path"):
        say("pull", tmp_path / "spring", "--use", "--config", both.file)
    both.train(vec, "f" * 16)
    say("push", tmp_path / "summer", "--config", both.file)
    with pytest.raises(
        UsageError, match=r"set model\.distilled to the file of its training, sha256"
    ):
        say("pull", tmp_path / "summer", "--use", "--config", shop.file)


def test_a_rollback_makes_the_models_training_current_again(vec: Path, tmp_path: Path) -> None:
    shop = Shop(tmp_path / "shop")
    record = shop.train(vec)
    shop.store.models.set_current(shop.key(record), "f" * 16)
    assert shop.current_model(record) is None
    assert model_registry.restore_current(shop.store, record.fingerprint) == record
    assert shop.current_model(record) == record
    assert model_registry.restore_current(shop.store, "0" * 16) is None
