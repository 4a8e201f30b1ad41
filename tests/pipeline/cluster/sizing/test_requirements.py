"""Requirements of memory that follow from the kind of a model."""

from pathlib import Path

import numpy as np

from models import static
from models.static import distil
from pipeline.cluster.sizing import requirements
from pipeline.config import reading
from pipeline.config.sections import Config
from tests.models.static.files import DIM, model2vec_model


def config(kind: str, **embed: object) -> Config:
    raw = {"store": {"path": "s"}, "catalogue": {"path": "c"}, "embed": embed}
    return reading.from_mapping(raw | {"model": {"kind": kind, "path": "m"}})


def test_a_static_model_is_one_mapped_copy_whatever_names_it(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    model2vec_model(folder)
    packed = static.pack(folder, tmp_path / "packed")
    words = distil.write(
        ["靴", "鞄"],
        np.ones((2, 8), np.float32),
        tmp_path / "words",
        text_fingerprint="a",
        float16=False,
    )
    settings = config("static", method="mean")
    for path, dim in ((folder, DIM), (packed, DIM), (words, 8), (words.parent, 8)):
        needs = requirements.for_static(settings, path, 1000)
        assert (needs.engine, needs.private_copy, needs.dim) == ("mapped", 0.0, dim)
    assert requirements.for_static(config("static"), packed, 1000).dim == 448


def test_an_encoder_is_counted_with_letters_only_if_it_has_some() -> None:
    assert requirements.for_encoder(config("onnx"), 1000, 384, 1000).dim == 384
    with_letters = config("onnx", lexical_weight=0.3, dim=512)
    assert requirements.for_encoder(with_letters, 1000, 384, 1000).dim == 512
