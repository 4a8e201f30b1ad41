"""Trains fastText in a new process and checks the result.

The library ends the process on some settings (SIGFPE), hangs on others, and keeps its random state
between trainings. So each training has its own process.
"""

import ctypes
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from models.errors import ModelError
from models.fasttext import library
from models.fasttext.binary_format import check_finite, read_layout

# The library does not notice that the disk is full.
_MIN_FREE_BYTES = 1 << 16
_PR_SET_PDEATHSIG = 1
_PROGRESS = re.compile(rb"Progress:\s+([\d.]+)%")


@dataclass(frozen=True)
class TrainingSettings:
    """Settings of a training, with the same meaning as in fastText.

    Attributes:
        model: "skipgram" or "cbow".
        dim: length of a vector.
        epoch: passes over the corpus.
        min_count: a word that occurs less often gets no row of its own.
        window: words to each side that count as context.
        minn, maxn: shortest and longest n-gram, in characters; both 0 if there are none.
        bucket: n-gram rows.
        threads: with 1 the same corpus gives the same model, since the library takes no seed.
    """

    model: Literal["skipgram", "cbow"] = "skipgram"
    dim: int = 100
    epoch: int = 5
    min_count: int = 5
    window: int = 5
    minn: int = 3
    maxn: int = 6
    bucket: int = 2_000_000
    threads: int = 1


def train(
    corpus: Path,
    out: Path,
    settings: TrainingSettings,
    progress: Callable[[float], None] = lambda _share: None,
    *,
    vectors: Path | None = None,
) -> None:
    """Train a model on a file of space-separated tokens, and write it to `out`.

    Args:
        corpus: UTF-8, one text a line.
        out: the .bin file to write; it is written only if the training succeeds.
        settings: of the training.
        progress: receives the completed share, 0 to 1; with one thread only at the end.
        vectors: where the rows of words start, which `starting_vectors.write` has written; at
            random if None. Each word that it has becomes one of the model's, however rare it is.

    Raises:
        ModelError: the settings are impossible, the process failed, or the model has values that
            are not finite.
    """
    if settings.threads < 1 or settings.dim < 1 or settings.minn > settings.maxn:
        raise ModelError(f"impossible training settings: {settings}")
    unchecked = out.with_name(out.name + ".unchecked")
    places = {"corpus": str(corpus), "out": str(unchecked), "vectors": str(vectors or "")}
    job = json.dumps({**places, **asdict(settings)})
    try:
        _run(job, progress)
        if shutil.disk_usage(out.parent).free < _MIN_FREE_BYTES:
            raise ModelError(f"{out.parent}: the disk is full; free some, or choose another folder")
        layout = read_layout(unchecked)
        check_finite(unchecked, layout)
        unchecked.rename(out)
    finally:
        unchecked.unlink(missing_ok=True)


def _run(job: str, progress: Callable[[float], None]) -> None:
    command = [sys.executable, "-u", "-m", "models.fasttext.train", job]
    root = str(Path(__file__).resolve().parents[2])
    with subprocess.Popen(  # noqa: S603 - our own module
        command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, cwd=root
    ) as process:
        assert process.stderr is not None  # noqa: S101 - for the type checker
        tail = b""
        try:
            while chunk := os.read(process.stderr.fileno(), 4096):
                tail = (tail + chunk)[-4000:]
                if shares := _PROGRESS.findall(tail):
                    progress(float(shares[-1]) / 100)
        except BaseException:
            process.kill()
            raise
    if process.returncode < 0:
        name = signal.Signals(-process.returncode).name
        raise ModelError(f"fastText's training was ended by {name}; too little memory for it?")
    if process.returncode:
        last = tail.decode(errors="replace").strip().splitlines()[-1:] or ["no message"]
        raise ModelError(f"fastText's training failed: {last[0]}")


def _main(job: str) -> None:
    if sys.platform == "linux":
        # This process ends with its parent, even if the parent is killed.
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    settings = json.loads(job)
    library.train(
        Path(settings["corpus"]),
        Path(settings["out"]),
        model=settings["model"],
        dim=settings["dim"],
        epoch=settings["epoch"],
        minCount=settings["min_count"],
        ws=settings["window"],
        minn=settings["minn"],
        maxn=settings["maxn"],
        bucket=settings["bucket"],
        thread=settings["threads"],
        pretrainedVectors=settings["vectors"],
    )


if __name__ == "__main__":
    _main(sys.argv[1])
