"""train: tokens -> a model in the store; or a given model, checked and kept there."""

import shutil
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from models import ModelError
from models.content import file_sha256
from models.fasttext.format import check_finite, read_layout
from models.fasttext.train import Training
from models.fasttext.train import train as train_fasttext
from pipeline.config import ModelSection
from pipeline.errors import InputError, StageError
from pipeline.files import write_json
from pipeline.job import Job, Made
from pipeline.sampling import seeded_sample

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

NAME = "train"
CODE = (
    "models.fasttext.format",
    "models.fasttext.library",
    "models.fasttext.train",
)
MODEL_FILE = "model.bin"

# A vocabulary below this is not worth leaving words out of.
_SMALL_VOCABULARY = 1_000
_TOKEN_PASSES = 20_000_000


def inputs(job: Job) -> dict[str, Any]:
    """The given model's content; or the training's settings and the tokens."""
    section = job.config.model
    tokens = job.record("tokenize")
    if section.path:
        path = Path(section.path)
        try:
            return {"given": file_sha256(path), "text": tokens.outputs["text_fingerprint"]}
        except OSError as error:
            raise InputError(f"model.path {path}: {error.strerror}; check [model] path") from error
    return {"training": section.model_dump(), "tokens": tokens.fingerprint}


def reusable(job: Job) -> bool:
    """Whether the store's current model fits a new night: training is not nightly.

    It does if it was trained with the same settings on the same kind of tokens, and on at least
    half as many items as could be had now.
    """
    current = job.store.current_model()
    section = job.config.model
    if current is None or section.path:
        return False
    tokens = job.record("tokenize")
    available = min(tokens.tables["tokens"], section.sample_items)
    return bool(
        current.inputs.get("training") == section.model_dump()
        and current.outputs["text_fingerprint"] == tokens.outputs["text_fingerprint"]
        and available <= 2 * current.counts["sampled_items"]
    )


def execute(job: Job, version: str) -> Made:
    """Train or copy the model, check it, and put it into the store under its content's hash."""
    with job.store.new_model() as folder:
        try:
            counts = _load(job, folder) if job.config.model.path else _train(job, folder)
            layout = read_layout(folder / MODEL_FILE)
        except ModelError as error:
            kind = InputError if job.config.model.path else StageError
            raise kind(f"train: {error}") from error
        sha256 = file_sha256(folder / MODEL_FILE)
        outputs = {
            "sha256": sha256,
            "dim": layout.dim,
            "text_fingerprint": job.record("tokenize").outputs["text_fingerprint"],
        }
        size = (folder / MODEL_FILE).stat().st_size
        counts |= {"words": layout.nwords, "ngram_rows": layout.bucket, "bytes": size}
        write_json(folder / "model.json", {"kind": "fasttext", **outputs, **counts})
        job.store.keep_model(folder, sha256)
    job.store.set_current_model(version)
    return Made(tables={}, counts=counts, outputs=outputs)


def _load(job: Job, folder: Path) -> dict[str, Any]:
    source = Path(job.config.model.path)
    layout = read_layout(source)
    if layout.model == "supervised":
        raise ModelError(f"{source}: a supervised model; give an unsupervised one")
    check_finite(source, layout)
    shutil.copyfile(source, folder / MODEL_FILE)
    return {"source": str(source)}


def _train(job: Job, folder: Path) -> dict[str, Any]:
    section = job.config.model
    total = job.record("tokenize").tables["tokens"]
    every = texts(job.read("tokens", "tokenize"))
    sampled = seeded_sample(every, total, section.sample_items, section.seed)
    occurrences, sizes = count_vocabulary(sampled, section.min_count)
    if not occurrences:
        raise InputError("train: no item's text leaves a token; there is nothing to train on")
    training = plan(section, occurrences, sizes)
    job.line.note = "writing the corpus"
    corpus = folder / "corpus.txt"
    lines = write_corpus(sampled, corpus)

    job.line.note = "training"

    def show(share: float) -> None:
        job.line.note = f"training, {share:.0%} done"

    train_fasttext(corpus, folder / MODEL_FILE, training, show)
    job.line.note = ""
    corpus.unlink()
    return {"sampled_items": lines, "corpus_tokens": occurrences, "training": asdict(training)}


def texts(tokens: "DataFrame") -> "DataFrame":
    """Each item's tokens in one list; items without any are left out."""
    from pyspark.sql import functions as F

    both = F.concat("title_tokens", "description_tokens")
    return tokens.select("item_id", both.alias("tokens")).where(F.size("tokens") > 0)


def count_vocabulary(texts: "DataFrame", min_count: int) -> tuple[int, list[int]]:
    """Occurrences of tokens in all, and how many tokens occur at least 1, 2, ... min_count times.

    Lines count too: fastText has a token for the end of each.
    """
    from pyspark.sql import functions as F

    counted = texts.select(F.explode("tokens").alias("token")).groupBy("token").count()
    first = counted.agg(
        F.coalesce(F.sum("count"), F.lit(0)),
        *[F.count_if(F.col("count") >= least) for least in range(1, min_count + 1)],
    ).first()
    assert first is not None  # noqa: S101 - an aggregate has one row
    return int(first[0]), [int(size) for size in first[1:]]


def plan(section: ModelSection, occurrences: int, sizes: list[int]) -> Training:
    """The training's settings, with what the config leaves open decided by the sample's size.

    Args:
        section: the config's [model].
        occurrences: tokens in the sample.
        sizes: vocabulary with min_count 1, 2, ... up to the config's.
    """
    min_count = section.min_count
    while min_count > 1 and sizes[min_count - 1] < min(_SMALL_VOCABULARY, sizes[0]):
        min_count -= 1
    words = sizes[min_count - 1]
    epoch = section.epoch or min(20, max(5, round(_TOKEN_PASSES / occurrences)))
    training = Training(
        model=section.algorithm,
        dim=section.dim,
        epoch=epoch,
        min_count=min_count,
        window=section.window,
        minn=section.minn,
        maxn=section.maxn,
        bucket=section.bucket or min(2_000_000, max(10_000, 20 * words)),
        threads=section.threads,
    )
    return replace(training, bucket=0) if training.maxn == 0 else training


def write_corpus(texts: "DataFrame", path: Path) -> int:
    """Stream token lists into a file, one text a line; returns the number of lines."""
    lines = 0
    with path.open("w", encoding="utf-8") as file:
        for row in texts.select("tokens").toLocalIterator(prefetchPartitions=True):
            file.write(" ".join(row["tokens"]) + "\n")
            lines += 1
    return lines
