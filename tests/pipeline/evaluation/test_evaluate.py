"""The verb `evaluate`, from the command line to what it prints and leaves."""

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer

from pipeline.cli.main import execute
from pipeline.errors import InputError, UsageError
from pipeline.store.run_records import list_runs
from pipeline.store.store import Store
from tests.models.encoder import write_encoder
from tests.pipeline.conftest import InProcess

pytestmark = pytest.mark.processes

SAMPLES = Path(__file__).parents[3] / "data_samples" / "night1.csv"
SMALL = "[model]\nepoch = 1\ndim = 8\nmin_count = 1\nbucket = 1000\n"
COLUMNS = ("sku", "name", "shelf", "colour", "note")
Evaluate = Callable[..., dict[str, Any]]


class Shop:
    """A catalogue of shoes and bags, its config and its store."""

    def __init__(self, folder: Path, catalogue: Path, mapped: str = "") -> None:
        self.config = str(folder / "nitamono.toml")
        self.store = folder / "store"
        Path(self.config).write_text(
            f'[store]\npath = "store"\n[catalogue]\npath = "{catalogue}"\n{mapped}{SMALL}',
            encoding="utf-8",
        )

    def lasting(self) -> dict[str, str]:
        """Everything that says what later runs and readers use."""
        files = (*self.store.glob("tables/*/LATEST"), *self.store.glob("*/current/*"))
        return {str(path): path.read_text() for path in files}


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    """One shop for all tests, so that the stages run once."""
    folder = tmp_path_factory.mktemp("shop")
    rows = [[str(n), f"{'靴鞄皿'[n % 3]} {n % 5} 番", f"shelf {n % 3}", "", ""] for n in range(30)]
    # Two are red and two are blue in the rows with the longest texts; a space is no colour.
    for item, colour in ((7, "blue"), (8, "blue"), (9, "red"), (10, "　")):
        rows[item][3] = colour
    rows += [["6", "皿 1 番 名前が長い方", "shelf 0", "red", ""], ["7", "鞄", "shelf 1", "red", ""]]
    mapped = 'columns = { item_id = "sku", title = "name" }\n'
    catalogue = folder / "catalogue.csv"
    catalogue.write_text("\n".join(map(",".join, [COLUMNS, *rows])), encoding="utf-8")
    return Shop(folder, catalogue, mapped)


@pytest.fixture
def evaluate(in_process: InProcess, shop: Shop) -> Evaluate:
    def run(*arguments: str) -> dict[str, Any]:
        output = in_process("evaluate", "--config", shop.config, "--json", *arguments)
        result: dict[str, Any] = json.loads(output)
        return result

    return run


def recall(scores: np.ndarray, labels: list[str], k: int) -> float:
    """Label recall by its definition, item by item; a row of NaN finds nothing."""
    sizes = Counter(labels)
    shares = []
    for item, label in enumerate(labels):
        if sizes[label] < 2:
            continue
        row = np.where(np.isnan(scores[item]), np.inf, -scores[item].astype(np.float32))
        row[item] = np.inf
        near = np.argsort(row, kind="stable")[:k]
        hits = sum(labels[n] == label for n in near if np.isfinite(row[n]))
        shares.append(hits / min(k, sizes[label] - 1))
    return float(np.mean(shares))


@pytest.mark.slow
def test_the_sample_catalogue_measured_as_by_hand(tmp_path: Path, in_process: InProcess) -> None:
    samples = Shop(tmp_path, SAMPLES)
    labels = ("--label", "category", "--label", "brand", "--k", "5", "--set", "embed.method=mean")
    result = json.loads(in_process("evaluate", "--config", samples.config, "--json", *labels))
    assert (result["label"], result["k"], result["sample"]) == ("category", 5, False)
    assert result["recall"] == result["labels"]["category"]["recall"]
    assert result["recall"]["current"] == result["recall"]["mean"]
    assert result["differences"]["mean"] == {"value": 0, "interval": [0, 0]}
    store = Store(str(samples.store))
    tables = {
        table: pq.read_table(next(samples.store.glob(f"tables/{table}/*")))
        .sort_by("item_id")
        .to_pydict()
        for table in ("items", "tokens", "embeddings")
    }
    vectors = np.array([vector or [np.nan] * 8 for vector in tables["embeddings"]["vector"]])
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    tokens = tables["tokens"]
    texts = [
        f"{title} {more}".split()
        for title, more in zip(tokens["title_tokens"], tokens["description_tokens"], strict=True)
    ]
    tfidf = TfidfVectorizer(sublinear_tf=True, analyzer=list).fit_transform(texts)
    assert result["items"] == len(texts)
    for label in ("category", "brand"):
        values = result["labels"][label]
        expected = recall(vectors @ vectors.T, tables["items"][label], 5)
        assert values["recall"]["current"] == pytest.approx(expected, abs=1e-6)
        expected = recall((tfidf @ tfidf.T).toarray(), tables["items"][label], 5)
        assert values["recall"]["tfidf"] == pytest.approx(expected, abs=1e-6)
        low, high = values["intervals"]["tfidf"]
        assert low < expected < high
    # Nothing is published or current; the embeddings are there for the next run.
    assert samples.lasting() == {}
    assert [run.status for run in list_runs(store)] == ["done"]
    assert store.find_record("embed", result["embeddings"]) is not None


def test_labels_are_those_of_the_rows_that_ingest_kept(evaluate: Evaluate) -> None:
    result = evaluate("--label", "colour")
    assert (result["labelled_items"], result["measured_items"], result["classes"]) == (4, 4, 2)


@pytest.mark.slow
def test_an_experiment_leaves_what_is_published_as_it_was(
    evaluate: Evaluate, shop: Shop, in_process: InProcess
) -> None:
    in_process("run", "--config", shop.config, "--set", "publish.max_quarantined=1")
    before = shop.lasting()
    assert len(before) > 3
    other = evaluate("--label", "shelf", "--set", "model.dim=5")
    assert shop.lasting() == before
    assert other["embeddings"] not in str(before)
    assert Store(str(shop.store)).find_record("embed", other["embeddings"]) is not None


def test_a_larger_catalogue_is_sampled_after_the_items_of_the_pairs(
    evaluate: Evaluate, shop: Shop, in_process: InProcess, tmp_path: Path
) -> None:
    pairs_file = tmp_path / "pairs.csv"
    pairs_file.write_text("a,b,match\n29,26,1\n28,27,0\n29,20,1\n20,21,0\n1,999,1\n2,2,0\n")
    arguments = ("--pairs", str(pairs_file), "--label", "shelf", "--items", "12", "--k", "3")
    result = evaluate(*arguments)
    assert (result["items"], result["catalogue_items"], result["sample"]) == (12, 30, True)
    pairs = result["pairs"]
    assert (pairs["pairs_read"], pairs["pairs_measured"], pairs["matches"]) == (6, 4, 2)
    assert (pairs["unknown_ids"], pairs["pairs_with_itself"]) == (1, 1)
    assert pairs["items_with_partners"] == 3
    for method in ("current", "mean", "tfidf"):
        assert set(pairs[method]) == {
            "recall", "average_precision", "roc_auc", "best_f1", "threshold"
        }  # fmt: skip
        low, high = pairs["intervals"]["average_precision"][method]
        assert 0 <= low <= pairs[method]["average_precision"] <= high <= 1
    assert evaluate(*arguments) | {"run_id": ""} == result | {"run_id": ""}
    shown = in_process("evaluate", "--config", shop.config, *arguments)
    assert "Items       12 (a sample of 30)" in shown
    assert "left out: 1, as the catalogue lacks 1 ids" in shown
    cell = f"{pairs['tfidf']['average_precision']:.3f} ±"
    assert any(
        line.startswith("average precision ") and cell in line for line in shown.splitlines()
    )
    assert "Label recall@3" in shown
    pairs_file.write_text("a,b,match\n29,26,1\n")
    only = evaluate("--pairs", str(pairs_file))
    assert set(only["pairs"]["current"]) == {"recall"}
    assert "recall" not in only
    with pytest.raises(UsageError, match="its pairs are of 2 items, more than --items 1;"):
        execute(["evaluate", "--config", shop.config, "--pairs", str(pairs_file), "--items", "1"])


def test_an_encoder_has_no_mean_of_words(evaluate: Evaluate, tmp_path: Path) -> None:
    path = write_encoder(tmp_path / "encoder")
    arguments = ("--set", "model.kind=onnx", "--set", f"model.path={path}")
    result = evaluate("--label", "shelf", *arguments)
    assert result["recall"]["mean"] is None
    assert result["differences"]["mean"] is None
    assert result["intervals"]["mean"] is None
    assert result["recall"]["current"] > 0
    assert "encoder" in result["missing"]["mean"]


@pytest.mark.parametrize(
    ("arguments", "kind", "message"),
    [
        (("--label", "size"), UsageError, "size: no such column .* it has: sku, .*, note$"),
        (
            ("--label", "shelf", "--group", "age"),
            UsageError,
            "age: no such column .*: sku, .*, note$",
        ),
        (("--label", "sku"), InputError, "--label sku: no two of the 30 items have the same"),
        (
            ("--label", "shelf", "--label", "note"),
            InputError,
            "--label note: no two of the 30 items",
        ),
    ],
)
def test_labels_that_tell_nothing_are_refused(
    shop: Shop,
    in_process: InProcess,
    arguments: tuple[str, ...],
    kind: type[Exception],
    message: str,
) -> None:
    with pytest.raises(kind, match=message):
        in_process("evaluate", "--config", shop.config, *arguments)
