"""Models that are trained once for all tests here, and strings to embed."""

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fasttext as library
import pytest

_SYLLABLES = "あいうえおかきくけこさしすせそアイウエオカキクケコ水電機箱赤白小大器具料理"
_ALPHABETS = (
    _SYLLABLES,
    "漢字日本語送料無料ポイント倍円",
    "abcdefgXYZ0123-_.",
    "😀👍🏽🎉é\u3099\u200d",
    "ｱｲｳ①㍻\u3000\xa0\u0085",
)


def _words(count: int, rng: random.Random) -> list[str]:
    return ["".join(rng.choices(_SYLLABLES, k=rng.randint(1, 5))) for _ in range(count)]


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """2,000 lines of a few hundred words, each with a label in front."""
    rng = random.Random(7)  # noqa: S311
    words = _words(700, rng)
    path = tmp_path_factory.mktemp("corpus") / "corpus.txt"
    with path.open("w", encoding="utf-8") as file:
        for line in range(2000):
            tokens = rng.choices(words, weights=range(700, 0, -1), k=8)
            file.write(f"__label__{line % 5} {' '.join(tokens)}\n")
    return path


@pytest.fixture(scope="session")
def plain_corpus(corpus: Path) -> Path:
    """The same lines without labels."""
    lines = corpus.read_text(encoding="utf-8").splitlines()
    path = corpus.with_name("plain.txt")
    path.write_text("".join(line.split(" ", 1)[1] + "\n" for line in lines), encoding="utf-8")
    return path


def _unsupervised(**settings: Any) -> Callable[[Path, Path], Any]:
    def train(_labelled: Path, plain: Path) -> Any:
        common = {"dim": 9, "epoch": 1, "minCount": 1, "thread": 1, "verbose": 0}
        return library.train_unsupervised(str(plain), **common | settings)

    return train


def _supervised(**settings: Any) -> Callable[[Path, Path], Any]:
    quantize = settings.pop("quantize", None)

    def train(labelled: Path, _plain: Path) -> Any:
        common = {"dim": 10, "epoch": 3, "minCount": 1, "thread": 1, "verbose": 0, "lr": 0.5}
        model = library.train_supervised(str(labelled), **common | settings)
        if quantize is not None:
            model.quantize(str(labelled), **quantize)
        return model

    return train


_TRAININGS = {
    "skipgram": _unsupervised(model="skipgram", minn=2, maxn=4, bucket=500),
    "cbow": _unsupervised(model="cbow", minn=1, maxn=6, bucket=3000),
    "no n-grams": _unsupervised(minn=0, maxn=0),
    "labels as words": _unsupervised(minn=3, maxn=3, bucket=100),
    "bucket 2000000": _unsupervised(minn=3, maxn=6, bucket=2_000_000, dim=3),
    "supervised": _supervised(minn=0, maxn=0, wordNgrams=1),
    "supervised n-grams": _supervised(minn=2, maxn=4, wordNgrams=3, bucket=700),
    "quantised": _supervised(minn=2, maxn=3, wordNgrams=2, bucket=900, quantize={"qnorm": True}),
    "quantised pruned": _supervised(
        minn=2, maxn=3, wordNgrams=2, bucket=900, quantize={"cutoff": 400, "dsub": 3}
    ),
    "quantised pruned without n-grams": _supervised(
        minn=0, maxn=0, wordNgrams=1, quantize={"cutoff": 300, "qnorm": True}
    ),
}


@pytest.fixture(scope="session", params=list(_TRAININGS))
def trained(
    request: pytest.FixtureRequest,
    corpus: Path,
    plain_corpus: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """A model file of each kind."""
    name: str = request.param
    plain = corpus if name == "labels as words" else plain_corpus
    path = tmp_path_factory.mktemp("trained") / ("model.ftz" if "quant" in name else "model.bin")
    _TRAININGS[name](corpus, plain).save_model(str(path))
    return path


@pytest.fixture(scope="session")
def strings() -> list[str]:
    """3,000 strings without white space: empty, short, some of thousands of characters."""
    rng = random.Random(11)  # noqa: S311

    def make(number: int) -> str:
        if number % 100 == 0:
            return ""
        length = rng.randint(500, 6000) if number % 300 == 1 else rng.randint(1, 12)
        alphabet = "".join(rng.sample(_ALPHABETS, rng.randint(1, 3)))
        return "".join(rng.choices(alphabet, k=length))

    return [make(number) for number in range(3000)]
