"""The verb `evaluate`, from the command line to what it prints and leaves."""

import io
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

    def other(self, folder: Path) -> str:
        """Another config of the same catalogue and store, for vectors that are plain means."""
        text = Path(self.config).read_text(encoding="utf-8")
        text = text.replace('path = "store"', f'path = "{self.store}"')
        path = folder / "other.toml"
        path.write_text(f"{text}[embed]\nmethod = 'mean'\n", encoding="utf-8")
        return str(path)

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
    evaluate: Evaluate, shop: Shop, in_process: InProcess, tmp_path: Path
) -> None:
    in_process("run", "--config", shop.config, "--set", "expect.max_quarantined=1")
    before = shop.lasting()
    assert len(before) > 3
    # A catalogue of one item more; the published one has the others.
    catalogue = tmp_path / "more.csv"
    text = (Path(shop.config).parent / "catalogue.csv").read_text(encoding="utf-8")
    catalogue.write_text(f"{text}\n77,皿 1 番,shelf 2,,", encoding="utf-8")
    more = ("--set", f"catalogue.path={catalogue}")
    other = evaluate("--label", "shelf", "--group", "new", *more, "--set", "model.dim=5")
    sizes = [(group["group"], group["items"]) for group in other["groups"]["new"]]
    assert sizes == [("new", 1), ("old", 30)]
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


def test_new_items_need_an_earlier_catalogue(
    shop: Shop, in_process: InProcess, tmp_path: Path
) -> None:
    empty = f"store.path={tmp_path / 'store'}"
    arguments = ("--config", shop.config, "--set", empty, "--label", "shelf", "--group", "new")
    with pytest.raises(UsageError, match=r"--group new: new items are those .* is published"):
        in_process("evaluate", *arguments)


def test_groups_and_another_config_by_hand(evaluate: Evaluate, shop: Shop, tmp_path: Path) -> None:
    # `title` is nitamono's name of the catalogue's column `name`.
    labels = ("--label", "shelf", "--label", "title", "--group", "length", "--group", "shelf")
    result = evaluate(*labels, "--against", shop.other(tmp_path))
    theirs = evaluate(*labels, "--set", "embed.method=mean")
    assert result["against"] == theirs["embeddings"]
    shelf, title = (result["labels"][name] for name in ("shelf", "title"))
    assert set(shelf["recall"]) == {"current", "against"}
    for measure in ("ndcg", "reciprocal_rank"):
        values = shelf[measure]["values"]
        assert values["against"] == theirs["labels"]["shelf"][measure]["values"]["current"]
    difference = shelf["differences"]["against"]
    shares = shelf["recall"]
    assert difference["value"] == pytest.approx(shares["current"] - shares["against"], abs=2e-6)
    low, high = difference["interval"]
    assert low <= difference["value"] <= high
    assert difference["higher"] + difference["lower"] <= 30
    mean = result["all_labels"]["recall"]["values"]["current"]
    expected = (shares["current"] + title["recall"]["current"]) / 2
    assert mean == pytest.approx(expected, abs=2e-6)
    # The groups' figures are means of the same items' values.
    for groups in result["groups"].values():
        assert sum(group["items"] for group in groups) == 30
        recalls = [figure["recall"] for group in groups for figure in group["figures"][:1]]
        weighted = sum(one["values"]["current"] * one["items"] for one in recalls) / 30
        assert weighted == pytest.approx(shares["current"], abs=2e-6)


@pytest.mark.slow
def test_reranked_lists_are_those_of_the_published_table(
    shop: Shop, tmp_path: Path, in_process: InProcess
) -> None:
    text = Path(shop.config).read_text(encoding="utf-8")
    config = tmp_path / "nitamono.toml"
    text += "[neighbors]\nk = 5\n[rank]\nrerank = true\ndepth = 12\n[expect]\nmax_quarantined = 1\n"
    config.write_text(text, encoding="utf-8")
    in_process("run", "--config", str(config))
    (folder,) = (tmp_path / "store" / "tables" / "similar_items").glob("version=*")
    (items,) = (tmp_path / "store" / "tables" / "items").glob("version=*")
    shelves = {row["item_id"]: f"shelf {int(row['item_id']) % 3}"
               for row in pq.read_table(items).to_pylist()}  # fmt: skip
    sizes, hits = Counter(shelves.values()), Counter[str]()
    for row in pq.read_table(folder).to_pylist():
        hits[row["item_id"]] += shelves[row["item_id"]] == shelves[row["similar_id"]]
    shares = [hits[item] / min(5, sizes[shelf] - 1) for item, shelf in shelves.items()]
    labels = ("--label", "shelf", "--label", "name")
    measured = ("evaluate", "--config", str(config), "--json", "--k", "5", *labels)
    plain = ("--set", "rank.rerank=false", "--set", "rank.depth=0")
    found, without = (json.loads(in_process(*measured, *sets)) for sets in ((), plain))
    assert found["recall"]["current"] == pytest.approx(np.mean(shares), abs=1e-4)
    assert found["labels"] != without["labels"]
    with pytest.raises(UsageError, match=r"rank\.rerank compares items by tokens"):
        in_process(*measured, "--set", "embed.method=mean")


@pytest.mark.slow
def test_another_config_has_the_same_catalogue(
    shop: Shop, in_process: InProcess, tmp_path: Path
) -> None:
    other = shop.other(tmp_path)
    arguments = ("--label", "title", "--group", "shelf", "--against", other)
    shown = in_process("evaluate", "--config", shop.config, *arguments)
    assert "By shelf: recall@10 of title" in shown
    heads = [line.split() for line in shown.splitlines() if line.startswith("group ")]
    assert heads == [["group", "items", "current", "against", "higher", "lower", "p"]]
    assert max(map(len, shown.splitlines())) <= 80
    text = Path(other).read_text(encoding="utf-8")
    # A title that only four items have.
    Path(other).write_text(text.replace('title = "name"', 'title = "colour"'), encoding="utf-8")
    with pytest.raises(UsageError, match="--against: that config puts 26 of the 30 items into"):
        in_process("evaluate", "--config", shop.config, *arguments)
    Path(other).write_text(text.replace("catalogue.csv", "other.csv"), encoding="utf-8")
    (Path(shop.config).parent / "other.csv").write_text("sku,name\n1,靴 1 番\n2,鞄\n")
    with pytest.raises(UsageError, match=r"--against: its catalogue, .*other\.csv, is not the one"):
        in_process("evaluate", "--config", shop.config, *arguments)


@pytest.mark.slow
def test_judges_answer_in_the_terminal_and_go_on_another_time(
    shop: Shop, in_process: InProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "answers.csv"

    def judged(name: str, typed: str, *arguments: str) -> dict[str, Any]:
        monkeypatch.setattr("sys.stdin", io.StringIO(typed))
        judge = ("--judge", str(path), "--judge-name", name, "--json")
        output = in_process("evaluate", "--config", shop.config, *judge, *arguments)
        result: dict[str, Any] = json.loads(output)["answers"]
        return result

    first = judged("anna", "y\nn\ny\nq\n")
    assert (first["answers"], first["judges"], first["agreement"]) == (3, {"anna": 3}, [])
    second = judged("ben", "y\ny\n", "--ask", "2")
    assert second["judges"] == {"anna": 3, "ben": 2}
    alike = {"judges": ["anna", "ben"], "pairs": 2, "alike": 0.5, "kappa": 0}
    assert second["agreement"] == [alike]
    third = judged("anna", "n\n", "--ask", "1")
    assert [line.split(",")[2:] for line in path.read_text().splitlines()[1:]] == [
        ["1", "anna"], ["0", "anna"], ["1", "anna"], ["1", "ben"], ["1", "ben"], ["0", "anna"]
    ]  # fmt: skip
    assert 0 <= third["precision"]["values"]["current"] <= 1
    assert judged("anna", "", "--ask", "0") == third
