"""The command as users run it: in a process of its own, by its exit code and its last line."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from pipeline.cli.main import execute, main
from pipeline.stages import NAMES
from pipeline.store.store import Store
from tests.conftest import WriteCsv
from tests.pipeline.conftest import InProcess

PROGRAM = Path(sys.executable).with_name("nitamono")


def nitamono(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [PROGRAM, *arguments],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | environment,
        timeout=300,
    )


@pytest.fixture
def run_to_exit(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Callable[..., subprocess.CompletedProcess[str]]]:
    """Run a command line that fails, to its end, in this process."""

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        monkeypatch.setattr(sys, "argv", [str(PROGRAM), *arguments])
        with pytest.raises(SystemExit) as exit_:
            main()
        code = exit_.value.code
        assert isinstance(code, int)
        return subprocess.CompletedProcess(arguments, code, *capsys.readouterr())

    handler = signal.getsignal(signal.SIGTERM)
    yield run
    signal.signal(signal.SIGTERM, handler)


def last_line(process: subprocess.CompletedProcess[str]) -> str:
    assert "Traceback" not in process.stderr
    return process.stderr.splitlines()[-1]


def write_config(folder: Path, catalogue: Path | str, more: str = "", store: str = "store") -> str:
    file = folder / f"{store}.toml"
    file.write_text(
        f'[store]\npath = "{store}"\n[catalogue]\npath = "{catalogue}"\n{more}', encoding="utf-8"
    )
    return str(file)


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ((), 2, "VERB"),
        (("frobnicate",), 2, "invalid choice: 'frobnicate'"),
        (("run",), 2, "--config; see nitamono run --help"),
        (("run", "--config", "none.toml"), 2, "none.toml: no such file"),
        (("run", "--config", "CONFIG", "--set", "neighbors.kk=3"), 2, "did you mean k?"),
        (("run", "--config", "CONFIG", "--set", "neighbors.k=ten"), 2, "should be a valid integer"),
        (("run", "--config", "CONFIG", "--run-id", "a/b"), 2, "a/b is no name"),
        (("run", "--config", "CONFIG", "--from", "publish", "--to", "embed"), 2, "comes after"),
        (("run", "--config", "CONFIG", "--set", "catalogue.path=none.csv"), 3, "no such file"),
        (("run", "--config", "CONFIG", "--set", "store.path=/dev/null/x"), 2, "can't be written"),
        (("embed", "--config", "CONFIG"), 2, "run: nitamono ingest"),
        (("runs", "--config", "CONFIG"), 2, "no such folder; correct it, or run: nitamono run"),
        (("diff", "a", "--config", "CONFIG"), 2, "required: B; see nitamono diff --help"),
        (("rollback", "v1", "--config", "CONFIG"), 2, "no such folder"),
        (("gc", "--config", "CONFIG"), 2, "--keep"),
        (("evaluate", "--config", "CONFIG"), 2, "give --label COLUMN, --pairs FILE, or both"),
        (("gc", "--config", "CONFIG", "--keep", "0"), 2, "0 is no number from 1 on"),
        (("run", "--config", "CONFIG", "--publish", "--to", "embed"), 2, "before there is a table"),
        (("run", "--config", "CONFIG", "--as-of", "nobody"), 2, "--as-of nobody: no such run"),
        (("run", "--config", "CONFIG", "--as-of", "x", "--retrain"), 2, "give one"),
        (("run", "--config", "CONFIG", "--wait", "soon"), 2, "soon: write a number of seconds"),
        (("model",), 2, "ACTION"),
        (("model", "list"), 2, "--config; see nitamono model list --help"),
        (("model", "info", "none.bin"), 3, "none.bin"),
    ],
)
def test_wrong_usage_ends_with_its_code_and_one_clear_line(
    run_to_exit: Callable[..., subprocess.CompletedProcess[str]],
    tmp_path: Path,
    write_csv: WriteCsv,
    arguments: tuple[str, ...],
    code: int,
    message: str,
) -> None:
    file = write_config(tmp_path, write_csv([("a", "靴", "")]))
    process = run_to_exit(*(file if argument == "CONFIG" else argument for argument in arguments))
    assert (process.returncode, process.stdout) == (code, "")
    assert message in last_line(process)
    assert last_line(process).startswith("nitamono: ")
    assert not list(tmp_path.glob("*/tables/similar_items/LATEST"))


def test_a_process_ends_with_the_code_too(tmp_path: Path) -> None:
    process = nitamono("run", "--config", str(tmp_path / "none.toml"))
    assert (process.returncode, process.stdout) == (2, "")
    assert "none.toml: no such file" in last_line(process)


def test_without_java_the_line_says_what_to_install(tmp_path: Path, write_csv: WriteCsv) -> None:
    file = write_config(tmp_path, write_csv([("a", "靴", "")]))
    process = nitamono("run", "--config", file, PATH="/nowhere", JAVA_HOME="")
    assert process.returncode == 5
    assert "install Java 17 or later" in last_line(process)


@pytest.mark.slow
@pytest.mark.usefixtures("spark")
def test_the_gate_has_its_own_code(
    run_to_exit: Callable[..., subprocess.CompletedProcess[str]],
    tmp_path: Path,
    write_csv: WriteCsv,
) -> None:
    rows = [(f"{n:03d}", f"商品 {n % 9} 番 {n * n % 17} 型", "") for n in range(200)]
    settings = (
        "[index]\nexact_below = 0\nnlist = 40\n[neighbors]\nnprobe = 1\ntarget_recall = 1.0\n"
    )
    process = run_to_exit("run", "--config", write_config(tmp_path, write_csv(rows), settings))
    assert process.returncode == 4
    assert "the table is held back: recall is" in last_line(process)
    assert Store(str(tmp_path / "store")).latest() is None


@pytest.mark.slow
def test_verbs_one_by_one_equal_one_run_in_a_process_of_its_own(
    in_process: InProcess, tmp_path: Path, write_csv: WriteCsv
) -> None:
    rows = [(f"{n:03d}", f"商品 {n % 9} 番 KH-{n % 5}00{'ABC'[n % 3]}", "説明") for n in range(60)]
    catalogue = write_csv(rows)
    chain, single = (write_config(tmp_path, catalogue, store=name) for name in ("chain", "single"))
    for verb in NAMES:
        in_process(verb, "--config", chain)
    process = nitamono("run", "--config", single)
    assert process.returncode == 0, process.stderr
    assert "Recall@10" in process.stdout
    pointers = [Store(str(tmp_path / name)).latest() for name in ("chain", "single")]
    tables = [pq.read_table(pointer["path"]) for pointer in pointers if pointer]
    assert tables[0].num_rows == 600
    assert tables[0].equals(tables[1])


@pytest.mark.slow
def test_a_store_is_looked_through_rolled_back_and_cleaned(
    in_process: InProcess, tmp_path: Path, write_csv: WriteCsv
) -> None:
    rows = [(f"{n:03d}", f"商品 {n % 9} 番 KH-{n % 5}00{'ABC'[n % 3]}", "説明") for n in range(60)]
    file = write_config(
        tmp_path, write_csv(rows), "[neighbors]\nk = 4\n[publish]\npublish = true\n"
    )
    store = Store(str(tmp_path / "store"))

    def run(*arguments: str) -> str:
        return in_process(*arguments, "--config", file)

    def version() -> str:
        latest = store.latest()
        assert latest is not None
        return latest["version"]

    run("run", "--run-id", "first")
    first = version()
    experiment = ("run", "--run-id", "second", "--set", "neighbors.k=3")
    plan_lines = run(*experiment, "--dry-run").splitlines()
    assert plan_lines[-3:-1] == [
        "neighbors   run: neighbors.k is 3, was 4",
        "publish     run: after neighbors",
    ]
    assert plan_lines[-1] == "LATEST      stays"
    plan = json.loads(run(*experiment, "--dry-run", "--json"))
    assert [stage["action"] for stage in plan["stages"]] == [*["reuse"] * 5, "run", "run"]
    assert (plan["publishes"], plan["stages"][5]["why"]) == (False, "run: neighbors.k is 3, was 4")
    assert sum("reuse" in line for line in plan_lines) == 5
    summary = run(*experiment)
    assert "not published: LATEST stays at version " in summary
    table = summary.splitlines()[0].removeprefix("Table").strip()
    assert max(pq.read_table(table)["rank"].to_pylist()) == 3
    assert version() == first
    rerun = json.loads(run(*experiment, "--json"))
    assert (rerun["run_id"], rerun["published"], rerun["path"]) == ("second", False, table)
    assert rerun["recall"]["value"] == 1
    assert set(rerun["stages"].values()) == {"reused"}
    embedded = json.loads(run("embed", "--run-id", "second", "--json"))
    assert embedded["stages"]["embed"] == "reused"
    assert Path(embedded["tables"]["embeddings"]).is_dir()
    assert embedded["version"] is None
    assert "not published" not in run(*experiment, "--publish")
    second = version()
    assert table.endswith(second)
    runs = json.loads(run("runs", "--json"))
    assert [(run["run_id"], run["version"], run["latest"]) for run in runs] == [
        ("second", second, True),
        ("first", first, False),
    ]
    assert run("runs").splitlines()[1].startswith("second ")
    changes = json.loads(run("diff", "first", "LATEST", "--json"))
    assert (changes["changed"], changes["common"]) == (60, 60)
    assert changes["mean_overlap"] == 0.75
    assert changes["settings"] == [{"setting": "neighbors.k", "before": 4, "after": 3}]
    assert "neighbors.k: 4 -> 3" in run("diff", first, second, "--k", "3")
    assert first in run("rollback").splitlines()[2]
    assert version() == first
    garbage = json.loads(run("gc", "--keep", "1", "--dry-run", "--json"))
    assert garbage["deleted"] == []
    assert json.loads(run("rollback", second, "--json"))["now"]["version"] == second
    garbage = json.loads(run("gc", "--keep", "1", "--dry-run", "--json"))
    assert f"tables/similar_items/version={first}" in {path["path"] for path in garbage["deleted"]}
    assert store.table_path("similar_items", first).is_dir()
    assert f"freed {garbage['freed_bytes']:,} bytes" in run("gc", "--keep", "1")
    assert not store.table_path("similar_items", first).exists()
    process = nitamono("rollback", "--config", file)
    assert process.returncode == 2
    assert "are not in the store any more; there is no other version to publish" in last_line(
        process
    )
    # The night after finds what it needs.
    assert "reuse" in run("run", "--dry-run", "--set", "neighbors.k=3").splitlines()[-2]


def test_help_comes_without_anything_else(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        execute(["gc", "--help"])
    assert ended.value.code == 0
    assert "example: nitamono gc --config" in capsys.readouterr().out
    process = nitamono("--help")
    assert (process.returncode, process.stderr) == (0, "")
    assert "\n  gc " in process.stdout


def test_the_version_is_that_of_the_package(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        execute(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"nitamono {metadata.version('nitamono')}\n"


def test_the_commands_help_imports_no_verb() -> None:
    """It comes at once: without NumPy, pyarrow, pydantic and Spark."""
    code = (
        "import sys\n"
        "from pipeline.cli.parser import build_parser\n"
        "build_parser().format_help()\n"
        "sys.exit(str(sorted({'numpy', 'pyarrow', 'pydantic', 'pyspark'} & sys.modules.keys())))"
    )
    process = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert process.stderr == "[]\n"


def test_completion_prints_its_script() -> None:
    process = nitamono("completion", "bash")
    assert (process.returncode, process.stderr) == (0, "")
    check = ["bash", "-n"]
    assert subprocess.run(check, input=process.stdout, text=True, check=False).returncode == 0
    assert "\ncomplete " in process.stdout
