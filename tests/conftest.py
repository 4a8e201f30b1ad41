"""What tests share: one Spark session, small catalogues, stores in temporary folders."""

import csv
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from pipeline.report import projection
from pipeline.retrieval.vectors import Float32
from pipeline.spark.session import settings
from pipeline.stages import python_daemon

# For the processes that tests start too.
SPARK_CONF = Path(__file__).with_name("spark")
os.environ["SPARK_CONF_DIR"] = str(SPARK_CONF)
# A map takes seconds, which most tests have no use for.
os.environ["NITAMONO_REPORT_MAP_ITEMS"] = "0"

# Most of the time of small jobs goes into their planning and compiling. Runs in processes of their
# own, and those on the cluster, have both as Spark comes.
QUICK_PLANS = {
    "spark.sql.adaptive.enabled": "false",
    "spark.sql.codegen.wholeStage": "false",
    "spark.sql.codegen.factoryMode": "NO_CODEGEN",
}


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add an option: kept command lines are written, not compared."""
    parser.addoption("--write-golden", action="store_true", help="write tests/golden/ anew")


# The test files that take longest, and the order in which they start, so that the two workers end
# at about the same time.
LONGEST = (
    "cluster/test_pipeline.py",
    "runs/test_crashes.py",
    "runs/test_runner.py",
    "runs/test_unpublished.py",
    "api/test_api.py",
    "stages/test_rules.py",
    "stages/test_neighbors.py",
    "runs/test_nights.py",
    "report/test_browser.py",
    "query/test_query.py",
    "stages/test_code_versions.py",
    "evaluation/test_evaluate.py",
    "tests/test_notebook.py",
    "s3/test_store.py",
    "stages/test_gate.py",
    "stages/test_current_quantiser.py",
    "export/test_postgres.py",
    "export/test_jsonl.py",
    "inspection/test_inspect.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the tests of the longest files first."""

    def place(item: pytest.Item) -> int:
        path = item.path.as_posix()
        return next((n for n, name in enumerate(LONGEST) if path.endswith(name)), len(LONGEST))

    items.sort(key=place)


@pytest.fixture(scope="session")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SparkSession]:
    """One session for all tests of a worker, on one core, with a warehouse of its own."""
    os.environ["PYSPARK_PYTHON"] = sys.executable
    os.environ["NITAMONO_CACHE"] = str(tmp_path_factory.mktemp("cache"))
    chosen = settings({"spark.master": "local[1]"}, brief=True) | {
        "spark.sql.warehouse.dir": str(tmp_path_factory.mktemp("warehouse")),
        "spark.sql.shuffle.partitions": "2",
        "spark.driver.memory": "1g",
        "spark.log.level": "ERROR",
        **QUICK_PLANS,
        # Workers that have imported everything before the first task.
        **python_daemon.settings(),
    }
    session = SparkSession.builder.config(map=dict(chosen)).getOrCreate()
    yield session
    session.stop()


@pytest.fixture(scope="session", autouse=True)
def real_map() -> Iterator[Callable[[Float32], Float32]]:
    """Maps of runs are two of the vectors' values, which takes no time; this is the real thing."""
    real = projection.project
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(projection, "project", lambda vectors: vectors[:, :2])
        yield real


WriteCsv = Callable[..., Path]


@pytest.fixture
def write_csv(tmp_path: Path) -> WriteCsv:
    """Write rows as a CSV file and return its path."""

    def write(
        rows: Sequence[Sequence[str]],
        columns: Sequence[str] = ("item_id", "title", "description"),
        name: str = "catalogue.csv",
    ) -> Path:
        path = tmp_path / name
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(columns)
            writer.writerows(rows)
        return path

    return write
