"""Runs with a static model and with an encoder, each with the letters beside it."""

import json
import math
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from pyspark.sql import SparkSession
from sklearn.decomposition import PCA
from sklearn.linear_model import Ridge

from models import fasttext, static
from models.content import Content, read_content
from models.fasttext.bytestrings import ByteStrings
from models.fasttext.lexical_features import word_features
from pipeline.config import reading as config
from pipeline.errors import InputError, UsageError
from pipeline.stages.train import definition
from pipeline.store.store import Store
from tests.models import encoder
from tests.models.conftest import BUCKET, client
from tests.models.fasttext import files
from tests.models.static.files import model2vec_model
from tests.pipeline.conftest import InProcess
from tests.pipeline.stages.model_shop import ITEMS, Shop, stacked, unit
from tests.pipeline.tables import read_rows
from tests.s3.proxy import Proxy

pytestmark = pytest.mark.slow


@pytest.fixture
def shop(spark: SparkSession, tmp_path: Path) -> Shop:
    return Shop(tmp_path / "shop")


def of_kind(kind: str, path: Path, *more: str) -> tuple[str, ...]:
    return (f"model.kind={kind}", f"model.path={path}", *more)


def test_a_static_model_with_a_tokenizer_and_the_letters(shop: Shop, tmp_path: Path) -> None:
    library = model2vec_model(tmp_path / "model")
    settings = of_kind("static", tmp_path / "model", "embed.dim=128", "embed.lexical_weight=0.4")
    vectors = stacked(shop.run("blend", *settings))
    own = library.encode([f"{title} {text}".strip() for _, title, text in ITEMS])
    # The first principal direction of the vectors is what all items have in common.
    common = np.linalg.svd(unit(own), full_matrices=False)[2][0]
    expected = unit(own - np.outer(own @ common, common)) * 0.6**0.5
    assert vectors.shape == (len(ITEMS), 128)
    assert np.abs(vectors[:, : own.shape[1]] - expected).max() < 1e-3
    letters = vectors[:, own.shape[1] :]
    assert np.allclose(np.linalg.norm(letters, axis=1), 0.4**0.5, atol=1e-3)
    means = stacked(shop.run("mean", *settings, "embed.method=mean"))
    assert np.abs(means - own).max() < 2e-3


def test_a_later_night_has_the_vectors_of_a_whole_run(shop: Shop, tmp_path: Path) -> None:
    model2vec_model(tmp_path / "model")
    settings = of_kind("static", tmp_path / "model", "embed.dim=128")
    shop.run("night1", *settings, last="publish")
    changed = [("new", "青い shoe", "新しい"), (ITEMS[0][0], "赤い bag", ""), *ITEMS[2:]]
    shop.write(changed)
    night = shop.run("night2", *settings, last="publish")
    shutil.rmtree(shop.folder / "store" / "stages" / "embed")
    whole = shop.run("whole", *settings)
    assert night.keys() == whole.keys() == {item_id for item_id, _, _ in changed}
    assert all(np.array_equal(night[item_id], whole[item_id]) for item_id in night)


def test_an_encoder_and_the_letters(shop: Shop, tmp_path: Path) -> None:
    path = encoder.write_encoder(tmp_path / "encoder")
    vectors = stacked(
        shop.run("blend", *of_kind("onnx", path, "embed.dim=100", "embed.lexical_weight=0.45"))
    )
    assert vectors.shape == (len(ITEMS), 100)
    lengths = [
        np.linalg.norm(part, axis=1)
        for part in (vectors[:, : encoder.DIM], vectors[:, encoder.DIM :])
    ]
    assert np.allclose(lengths[0], 0.55**0.5, atol=2e-3)
    assert np.allclose(lengths[1], 0.45**0.5, atol=2e-3)
    alone = stacked(shop.run("alone", *of_kind("onnx", path, "embed.dim=100")))
    assert alone.shape == (len(ITEMS), encoder.DIM)


def test_fields_are_in_the_letters_beside_an_encoder(
    shop: Shop, tmp_path: Path, in_process: InProcess
) -> None:
    path = encoder.write_encoder(tmp_path / "encoder")
    blend = of_kind("onnx", path, "embed.dim=100", "embed.lexical_weight=0.45")
    without = stacked(shop.run("without", *blend))
    field = ("catalogue.columns.maker=description", 'embed.field=[{column="maker", weight=1.0}]')
    vectors = stacked(shop.run("with", *blend, *field, last="publish"))
    same = vectors == without
    assert same[:, : encoder.DIM].all()
    # Only items with a text in the field have other letters.
    assert same[:, encoder.DIM :].all(axis=1).tolist() == [not text for *_, text in ITEMS]
    item_id, title, text = ITEMS[1]
    command = ("query", "--title", title, "--description", text, "--config", str(shop.file))
    answers = json.loads(in_process(*command, "--column", f"maker={text}", "--json"))
    best = answers["neighbours"][0]
    assert (best["similar_id"], best["score"]) == (item_id, pytest.approx(1, abs=1e-6))


def test_a_distilled_model_is_near_its_encoder(
    shop: Shop, tmp_path: Path, in_process: InProcess
) -> None:
    path = encoder.write_encoder(tmp_path / "encoder")
    command = ("model", "distil", str(path), str(tmp_path / "static"), "--dim", "8")
    # What is expected of a night stops no model.
    expected = ("--set", "expect.max_empty_descriptions=0")
    printed = in_process(*command, "--config", str(shop.file), *expected)
    assert f"from {len(ITEMS)} items that the encoder read" in printed
    model = static.load(tmp_path / "static" / "model.safetensors")
    assert (model.dim, model.reads) == (8, "tokens")
    first = (tmp_path / "static" / "model.safetensors").read_bytes()
    in_process(*command, "--config", str(shop.file))
    assert (tmp_path / "static" / "model.safetensors").read_bytes() == first
    texts = shop.run("encoder", *of_kind("onnx", path, "embed.method=mean"))
    store = Store.of(config.load(shop.file, (), {}))
    tokens = {
        r["item_id"]: r for r in read_rows(store, "tokens", shop.run_json("encoder")["tokenize"])
    }
    items = sorted(texts)
    targets = np.stack([texts[item_id] for item_id in items])
    words, weighted = weighted_words([tokens[item_id] for item_id in items])
    reduced = PCA(8).fit_transform(targets.astype(np.float64))
    rows = Ridge(alpha=1, fit_intercept=False).fit(weighted, reduced).coef_.T
    own = model.embed([[word] for word in words])
    # The axes' signs are arbitrary, and vectors of the table are rounded to half precision.
    assert np.abs(own @ own.T - rows @ rows.T).max() < 2e-3 * np.abs(rows @ rows.T).max()


def weighted_words(items: list[dict[str, Any]]) -> tuple[list[str], npt.NDArray[np.float64]]:
    """The words of rows of the tokens table, and float64[items, words], as a blend weights them."""
    fields = [[r["title_tokens"].split(), r["description_tokens"].split()] for r in items]
    words = sorted({word for title, description in fields for word in (*title, *description)})
    weighted = np.zeros((len(items), len(words)))
    for row, (title, description) in zip(weighted, fields, strict=True):
        for n, word in enumerate(words):
            for tokens, weight in ((title, 1.0), (description, 0.8)):
                if count := tokens.count(word):
                    row[n] += weight * (1 + np.log(count))
    documents = (weighted > 0).sum(axis=0)
    weighted *= np.log((len(items) + 5) / (documents + 4.5)) + 0.25
    return words, unit(weighted)


def test_a_distilled_model_answers_a_query(
    shop: Shop, tmp_path: Path, in_process: InProcess
) -> None:
    path = encoder.write_encoder(tmp_path / "encoder")
    command = ("model", "distil", str(path), str(tmp_path / "static"), "--dim", "8")
    in_process(*command, "--config", str(shop.file))
    shop.run("night", *of_kind("static", tmp_path / "static"), last="publish")
    query = ("query", "--title", "青い 靴", "--json", "--config", str(shop.file))
    similar = json.loads(in_process(*query))
    assert "青い 靴" in json.dumps(similar, ensure_ascii=False)
    inspected = in_process("inspect", "i00", "--json", "--config", str(shop.file))
    assert json.loads(inspected)["neighbours"]


FIELD = ("catalogue.columns.maker=description", 'embed.field=[{column="maker"}]')


def test_a_distilled_model_can_be_used_with_fields_that_are_set_later(
    shop: Shop, tmp_path: Path, in_process: InProcess
) -> None:
    path = encoder.write_encoder(tmp_path / "encoder")
    config_file = ("--config", str(shop.file))
    for folder, sets in (("plain", ()), ("fields", FIELD)):
        command = ("model", "distil", str(path), str(tmp_path / folder), "--dim", "8")
        options = [argument for one in sets for argument in ("--set", one)]
        in_process(*command, *config_file, *options)
    # The encoder reads no fields.
    plain, fields = (tmp_path / name / "model.safetensors" for name in ("plain", "fields"))
    assert plain.read_bytes() == fields.read_bytes()
    model = of_kind("static", tmp_path / "plain")
    without = stacked(shop.run("without", *model))
    vectors = stacked(shop.run("with", *model, *FIELD, last="publish"))
    assert vectors.shape == without.shape
    item_id, title, text = ITEMS[1]
    query = ("query", "--title", title, "--description", text, "--json", *config_file)
    best = json.loads(in_process(*query, "--column", f"maker={text}"))["neighbours"][0]
    assert (best["similar_id"], best["score"]) == (item_id, pytest.approx(1, abs=1e-3))
    assert json.loads(in_process(*query))["neighbours"][0]["score"] < 0.999


def test_statistics_without_the_fields_words_are_counted_anew(shop: Shop) -> None:
    trained = ("model.min_count=1", "model.epoch=1", "model.dim=8")
    models = shop.folder / "store" / "models"
    shop.run("trained", *trained)
    (packed,) = models.glob("*/model.safetensors")
    before = packed.read_bytes()
    given = (*trained, f"model.path={packed}")
    shop.run("kept", *given)
    assert list(models.glob("*/model.safetensors")) == [packed]
    paths = (FIELD[0], 'embed.field=[{column="maker", separator="auto"}]')
    shop.run("counted", *given, *paths)
    (counted,) = set(models.glob("*/model.safetensors")) - {packed}
    assert packed.read_bytes() == before
    model = fasttext.load(counted)
    assert isinstance(model, fasttext.Embedder)
    assert model.statistics is not None
    features = word_features(ByteStrings.from_list([b">a_shoe_bag", b"nowhere"]))
    # 12 of the 36 items have that path.
    common, rarest = model.statistics.word_weights(features)
    assert common == pytest.approx(math.log((36 + 5) / (12 + 4.5)) + 0.25)
    assert rarest == pytest.approx(math.log((36 + 5) / 4.5) + 0.25)


def test_a_model_of_fields_words_is_refused_without_them(shop: Shop) -> None:
    trained = ("model.min_count=1", "model.epoch=1", "model.dim=8")
    shop.run("with", *trained, *FIELD)
    (packed,) = (shop.folder / "store" / "models").glob("*/model.safetensors")
    with pytest.raises(InputError, match=r"tokens of other rules, of \[text\] or of \[\[embed"):
        shop.run("without", *trained, f"model.path={packed}")


def test_reasons_are_refused_for_vectors_of_texts_before_items_are_embedded(
    shop: Shop, tmp_path: Path
) -> None:
    model2vec_model(tmp_path / "model")
    with pytest.raises(UsageError, match=r"publish\.reasons needs vectors that are sums"):
        shop.run("reasons", *of_kind("static", tmp_path / "model", "publish.reasons=true"))


def test_a_packed_model_is_not_cut(shop: Shop, tmp_path: Path) -> None:
    model2vec_model(tmp_path / "model")
    packed = static.pack(tmp_path / "model", tmp_path / "packed")
    for setting in ("model.truncate_dim=4", "model.float16=true"):
        with pytest.raises(InputError, match=r"model\.truncate_dim and model\.float16 can't"):
            shop.run("cut", *of_kind("static", packed, setting))


@pytest.mark.parametrize(
    ("kind", "name", "reason"),
    [
        ("static", "encoder", "no table of token vectors"),
        ("static", "model/model.safetensors", "no static model; give its directory"),
        ("onnx", "model", "no model.onnx"),
    ],
)
def test_a_model_of_another_kind_is_refused(
    shop: Shop, tmp_path: Path, kind: str, name: str, reason: str
) -> None:
    model2vec_model(tmp_path / "model")
    encoder.write_encoder(tmp_path / "encoder")
    with pytest.raises(InputError, match=reason):
        shop.run("refused", *of_kind(kind, tmp_path / name))


def test_training_starts_from_pretrained_vectors(
    shop: Shop, tmp_path: Path, in_process: InProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashed: list[Path] = []

    def counted(path: Path) -> Content:
        hashed.append(path)
        return read_content(path)

    monkeypatch.setattr(definition, "read_content", counted)
    words = sorted({word for _, *texts in ITEMS for text in texts for word in text.split()} - {"a"})
    vectors = np.random.default_rng(0).standard_normal((len(words), 12))
    given = files.vec(tmp_path / "given.vec", words, vectors)
    trained = ("model.min_count=1", "model.epoch=1", "model.dim=8")
    pretrained = (*trained, f"model.pretrained={given}")
    at_random = stacked(shop.run("random", *trained))
    from_vectors = stacked(shop.run("vectors", *pretrained, last="publish"))
    assert np.abs(from_vectors - at_random).max() > 0.1
    assert hashed.count(given) == 1, "a run reads the vectors once for their sha256"
    record = json.loads((shop.folder / "store/runs/vectors/run.json").read_text("utf-8"))
    assert record["counts"]["pretrained_words"] == len(words)
    # The file's content decides, and not its place.
    model = shop.run_json("vectors")["train"]
    moved = given.rename(tmp_path / "moved.vec")
    shop.run("moved", *trained, f"model.pretrained={moved}")
    assert shop.run_json("moved")["train"] == model
    files.vec(given, words, vectors[::-1])
    shop.run("changed", *pretrained)
    assert shop.run_json("changed")["train"] not in (model, shop.run_json("random")["train"])
    given.unlink()
    with pytest.raises(InputError, match=r"model.pretrained .*given.vec: .*\[model\] pretrained"):
        shop.run("missing", *pretrained)
    # What was trained needs the vectors no more.
    query = ("query", "--title", ITEMS[0][1], "--json", "--config", str(shop.file))
    assert json.loads(in_process(*query))["neighbours"]


def test_broken_pretrained_vectors_end_the_run_by_file_and_line(shop: Shop, tmp_path: Path) -> None:
    given = tmp_path / "given.vec"
    given.write_bytes(b"2 2\nbag 1 2\nshoe 1 two\n")
    with pytest.raises(InputError, match=r"train: model.pretrained: .*given.vec: line 3 holds"):
        shop.run("broken", "model.min_count=1", "model.dim=2", f"model.pretrained={given}")


def test_pretrained_vectors_in_an_object_store_are_those_of_the_file(
    shop: Shop, tmp_path: Path, proxy: Proxy
) -> None:
    words = sorted({word for _, *texts in ITEMS for text in texts for word in text.split()})
    vectors = np.random.default_rng(0).standard_normal((len(words), 12))
    given = files.vec(tmp_path / "given.vec", words, vectors)
    client(proxy.url).upload_file(str(given), BUCKET, "given.vec")
    trained = ("model.min_count=1", "model.epoch=1", "model.dim=8")
    from_file = stacked(shop.run("file", *trained, f"model.pretrained={given}"))
    place = (f"s3.endpoint={proxy.url}", "s3.region=us-east-1")
    address = f"model.pretrained=s3://{BUCKET}/given.vec"
    shutil.rmtree(shop.folder / "store")
    from_store = stacked(shop.run("store", *trained, address, *place))
    np.testing.assert_array_equal(from_store, from_file)
