"""Runs with a distilled model beside fastText: model.distilled."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from pyspark.sql import SparkSession

from models import fasttext
from models.fasttext.embedder import Embedder
from models.static import distil
from pipeline.config import reading as config
from pipeline.errors import InputError, UsageError
from pipeline.stages.train import stage as train
from pipeline.store.store import Store
from tests.models import encoder
from tests.models.conftest import BUCKET, client
from tests.models.static.files import model2vec_model
from tests.pipeline.conftest import InProcess
from tests.pipeline.stages.model_shop import ITEMS, Shop, stacked
from tests.s3.proxy import Proxy

pytestmark = pytest.mark.slow

DIM = 8
TRAINED = ("model.min_count=1", "model.epoch=1", "model.dim=8")


@pytest.fixture
def shop(spark: SparkSession, tmp_path: Path) -> Shop:
    return Shop(tmp_path / "shop")


def write_distilled(folder: Path, *, seed: int = 0, text_fingerprint: str = "") -> Path:
    """A distilled model of the catalogue's words, but for two of them."""
    words = sorted({word for _, *texts in ITEMS for text in texts for word in text.split()})
    rows = np.random.default_rng(seed).standard_normal((len(words) - 2, DIM)).astype(np.float32)
    distil.write(words[2:], rows, folder, text_fingerprint=text_fingerprint, float16=False)
    return folder


def beside(folder: Path | str) -> tuple[str, ...]:
    return (*TRAINED, f"model.distilled={folder}")


def test_an_encoders_words_stand_beside_those_of_the_catalogue(
    shop: Shop, tmp_path: Path, in_process: InProcess
) -> None:
    path = encoder.write_encoder(tmp_path / "encoder")
    command = ("model", "distil", str(path), str(tmp_path / "static"), "--dim", str(DIM))
    in_process(*command, "--config", str(shop.file))
    plain = stacked(shop.run("plain", *TRAINED, "embed.dim=80"))
    vectors = stacked(
        shop.run("both", *beside(tmp_path / "static"), "embed.dim=88", last="publish")
    )
    assert vectors.shape == (len(ITEMS), 88)
    # fastText's part and the letters have the same directions as without, half precision apart.
    for part, same in ((slice(0, 8), slice(0, 8)), (slice(16, 88), slice(8, 80))):
        ours, theirs = vectors[:, part].astype(float), plain[:, same].astype(float)
        lengths = np.linalg.norm(ours, axis=1) * np.linalg.norm(theirs, axis=1)
        assert np.abs(np.einsum("ij,ij->i", ours, theirs) - lengths).max() < 2e-3
    lengths = np.linalg.norm(vectors[:, 8:16].astype(float), axis=1)
    words = np.array([len({*title.split()}) + len({*text.split()}) for _, title, text in ITEMS])
    # The tokens of these texts are their words, and the encoder has read all of them.
    assert lengths == pytest.approx(np.sqrt(0.45 * words / (words + 20)), abs=2e-3)
    # query and inspect make the same vectors.
    options = ("--json", "--config", str(shop.file))
    item_id, title, text = ITEMS[1]
    found = json.loads(in_process("query", "--title", title, "--description", text, *options))
    best = found["neighbours"][0]
    assert (best["similar_id"], best["score"]) == (item_id, pytest.approx(1, abs=1e-6))
    neighbour = json.loads(in_process("inspect", item_id, *options))["neighbours"][0]
    assert neighbour["score"] == pytest.approx(
        neighbour["meaning"] + neighbour["letters"], abs=1e-3
    )


def test_its_content_decides_which_model_is_made(shop: Shop, tmp_path: Path) -> None:
    given = write_distilled(tmp_path / "given")
    shop.run("plain", *TRAINED)
    shop.run("both", *beside(given))
    model = shop.run_json("both")["train"]
    assert model != shop.run_json("plain")["train"]
    moved = Path(shutil.move(given, tmp_path / "moved"))
    (moved / "README.md").write_text("whose it is\n", "utf-8")
    shop.run("moved", *beside(moved))
    assert shop.run_json("moved")["train"] == model
    shop.run("file", *beside(moved / "model.safetensors"))
    assert shop.run_json("file")["train"] == model
    shop.run("changed", *beside(write_distilled(tmp_path / "given", seed=1)))
    assert shop.run_json("changed")["train"] not in (model, shop.run_json("plain")["train"])


def test_a_night_has_the_vectors_of_a_whole_run(shop: Shop, tmp_path: Path) -> None:
    settings = beside(write_distilled(tmp_path / "given"))
    shop.run("first", *settings, last="publish")
    changed = [*ITEMS[1:], ("new", "赤い shoe", "a bag bag")]
    shop.write(changed)
    night = shop.run("night", *settings, last="publish")
    shutil.rmtree(shop.folder / "store" / "stages" / "embed")
    whole = shop.run("whole", *settings)
    assert night.keys() == whole.keys() == {item_id for item_id, _, _ in changed}
    assert all(np.array_equal(night[item_id], whole[item_id]) for item_id in night)


def test_a_stored_model_with_one_beside_it_can_be_given(shop: Shop, tmp_path: Path) -> None:
    given = write_distilled(tmp_path / "given")
    both = stacked(shop.run("both", *beside(given)))
    (stored,) = (shop.folder / "store" / "models").glob("*/model.safetensors")
    packed = Path(shutil.copy(stored, tmp_path / "packed.safetensors"))
    assert np.array_equal(stacked(shop.run("given", f"model.path={packed}")), both)
    for run_id in ("both", "given"):
        record = json.loads((shop.folder / f"store/runs/{run_id}/run.json").read_text("utf-8"))
        assert record["counts"]["distilled_words"] > 0, run_id
        embed = Store.of(config.load(shop.file, (), {})).find_record(
            "embed", record["fingerprints"]["embed"]
        )
        assert embed is not None
        assert embed.outputs["dim"] == both.shape[1]
    with pytest.raises(InputError, match=r"model\.path has a distilled model beside it already"):
        shop.run("twice", f"model.path={packed}", f"model.distilled={given}")


def test_a_model_that_is_given_gets_it_too(shop: Shop, tmp_path: Path) -> None:
    shop.run("trained", *TRAINED)
    (stored,) = (shop.folder / "store" / "models").glob("*/model.safetensors")
    packed = Path(shutil.copy(stored, tmp_path / "packed.safetensors"))
    given = write_distilled(tmp_path / "given")
    vectors = stacked(shop.run("both", f"model.path={packed}", f"model.distilled={given}"))
    assert np.array_equal(vectors, stacked(shop.run("at_once", *beside(given))))
    # The file that was given is as it was.
    model = fasttext.load(packed)
    assert isinstance(model, Embedder)
    assert model.distilled is None


def test_one_in_an_object_store_is_that_of_the_folder(
    shop: Shop, tmp_path: Path, proxy: Proxy
) -> None:
    given = write_distilled(tmp_path / "given")
    client(proxy.url).upload_file(
        str(given / "model.safetensors"), BUCKET, "distilled/model.safetensors"
    )
    from_folder = stacked(shop.run("folder", *beside(given / "model.safetensors")))
    shutil.rmtree(shop.folder / "store")
    place = (f"s3.endpoint={proxy.url}", "s3.region=us-east-1")
    address = f"s3://{BUCKET}/distilled/model.safetensors"
    assert np.array_equal(stacked(shop.run("store", *beside(address), *place)), from_folder)


def test_what_is_no_distilled_model_is_refused(
    shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model2vec_model(tmp_path / "model2vec")
    other_rules = write_distilled(tmp_path / "other", text_fingerprint="0123456789abcdef")
    shop.run("trained", *TRAINED)
    (stored,) = (shop.folder / "store" / "models").glob("*/model.safetensors")
    damaged = write_distilled(tmp_path / "damaged") / "model.safetensors"
    damaged.write_bytes(damaged.read_bytes().replace(b'"dim": "8"', b'"dim": "9"'))
    for folder, reason in (
        (damaged, "its tensor vectors does not fit its header"),
        (tmp_path / "model2vec", "no model that nitamono model distil made"),
        (other_rules, "tokens of other rules"),
        (stored, "a fastText model; give one that nitamono model distil made"),
    ):
        # Before anything is trained.
        monkeypatch.setattr(train, "train_fasttext", pytest.fail)
        with pytest.raises(InputError, match=f"train: model.distilled: .*{reason}"):
            shop.run("refused", *beside(folder))
    with pytest.raises(InputError, match=r"model\.distilled .*nowhere: .*\[model\] distilled"):
        shop.run("missing", *beside(tmp_path / "nowhere"))
    for setting, reason in (
        ("embed.method=mean", "is not in plain means"),
        ("model.engine=library", "stands beside a model of kind"),
    ):
        with pytest.raises(UsageError, match=reason):
            shop.run("refused", *beside(other_rules), setting)
