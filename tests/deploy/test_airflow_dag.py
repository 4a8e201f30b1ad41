"""The nightly DAG as Airflow reads it; `make test-airflow` runs this where Airflow is installed."""

import datetime
import os
import shlex
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

DEPLOY = Path(__file__).parents[2] / "deploy" / "airflow"
GOLDEN = Path(__file__).parents[1] / "golden" / "airflow" / "commands.txt"
STAGES = ["ingest", "tokenize", "train", "embed", "index", "neighbors", "publish"]

# As Airflow does with the DAGs' folder.
sys.path.insert(0, str(DEPLOY))
# Read when Airflow is first imported.
os.environ["AIRFLOW_HOME"] = tempfile.mkdtemp(prefix="nitamono-airflow-")
os.environ["AIRFLOW__CORE__LOAD_EXAMPLES"] = "False"
os.environ["AIRFLOW_CONN_SPARK_DEFAULT"] = (
    '{"conn_type": "spark", "host": "k8s://https://kubernetes.example:6443"}'
)
dagbag = pytest.importorskip(
    "airflow.dag_processing.dagbag", reason="Airflow is not installed: make test-airflow"
)


@pytest.fixture(scope="module")
def dag() -> Any:
    bag = dagbag.DagBag(dag_folder=str(DEPLOY))
    assert bag.import_errors == {}
    assert list(bag.dags) == ["nitamono_nightly"]
    return bag.dags["nitamono_nightly"]


def test_the_stages_are_tasks_one_after_the_other(dag: Any) -> None:
    assert [task.task_id for task in dag.topological_sort()] == STAGES
    assert [sorted(dag.get_task(name).downstream_task_ids) for name in STAGES] == [
        *([name] for name in STAGES[1:]),
        [],
    ]


def test_nights_are_not_made_up_for_and_never_two_at_a_time(dag: Any) -> None:
    assert (dag.catchup, dag.max_active_runs) == (False, 1)
    assert all(task.retries == 1 for task in dag.tasks)


def test_airflow_builds_the_spark_submit_commands_that_are_kept(dag: Any) -> None:
    run = SimpleNamespace(run_after=datetime.datetime(2026, 11, 27, 2, tzinfo=datetime.UTC))
    lines = []
    for name in STAGES:
        task = dag.get_task(name)
        task.application_args = task.render_template(
            task.application_args, {"dag_run": run}, jinja_env=dag.get_template_env()
        )
        command = task._get_hook()._build_spark_submit_command(task.application)
        lines.append(f"{shlex.join(command)}\n")
    if "WRITE_GOLDEN" in os.environ:
        GOLDEN.write_text("".join(lines), encoding="utf-8")
    assert "".join(lines) == GOLDEN.read_text(encoding="utf-8")
