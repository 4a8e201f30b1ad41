"""The doctor: what it finds well, what it finds wrong, and that it leaves the store as it was."""

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pyspark import SparkConf
from pyspark.sql import SparkSession

from models import static
from models.static import distil
from pipeline.cluster.doctor import examination, host, memory, store_folder
from pipeline.cluster.doctor.finding import BAD, OK, SKIPPED, Finding
from pipeline.cluster.doctor.memory import HostProbe
from pipeline.cluster.sizing import requirements
from pipeline.config import reading as config
from pipeline.config.sections import Config
from pipeline.errors import UsageError
from pipeline.storage import file_owners
from pipeline.terminal.progress import StageLine
from tests.conftest import WriteCsv
from tests.models.static.files import model2vec_model
from tests.pipeline.conftest import InProcess

NAMES = [
    *("java", "versions", "packages", "credentials", "receivers", "store", "lock"),
    *("spark", "connectors", "catalogue", "executors", "model cache", "memory"),
]


@pytest.fixture
def settings(tmp_path: Path, write_csv: WriteCsv) -> Callable[..., Config]:
    """A config of a small catalogue, with changes."""
    write_csv([("a", "靴", "赤い"), ("b", "鞄", "")])

    def make(*notify: dict[str, Any], **changes: dict[str, Any]) -> Config:
        raw: dict[str, dict[str, Any]] = {
            "store": {"path": str(tmp_path / "new" / "store")},
            "catalogue": {"path": str(tmp_path / "catalogue.csv")},
        }
        return config.from_mapping(
            {name: raw.get(name, {}) | changes.get(name, {}) for name in {*raw, *changes}}
            | {"notify": [*notify]}
        )

    return make


def states(findings: list[Finding]) -> dict[str, str]:
    return {one.name: one.state for one in findings}


def text_of(findings: list[Finding], name: str) -> str:
    (text,) = (one.text for one in findings if one.name == name)
    return text


def tree(folder: Path) -> dict[str, int]:
    return {str(path.relative_to(folder)): path.lstat().st_mtime_ns for path in folder.rglob("*")}


def test_all_is_well_and_no_store_is_made(
    in_process: InProcess, settings: Callable[..., Config], tmp_path: Path
) -> None:
    file = tmp_path / "nitamono.toml"
    file.write_text('[store]\npath = "new/store"\n[catalogue]\npath = "catalogue.csv"\n')
    settings()
    found = json.loads(in_process("doctor", "--config", str(file), "--json"))["checks"]
    assert {one["name"]: one["state"] for one in found} == dict.fromkeys(NAMES, OK)
    assert [one["name"] for one in found] == NAMES
    by_name = {one["name"]: one["text"] for one in found}
    assert "a run will make it" in by_name["store"]
    assert by_name["catalogue"].endswith("readable; columns item_id, title, description")
    assert not (tmp_path / "new").exists()


def test_what_is_wrong_is_said_and_a_store_stays_as_it_was(
    spark: SparkSession, settings: Callable[..., Config], tmp_path: Path
) -> None:
    store = tmp_path / "new" / "store"
    (store / "locks").mkdir(parents=True)
    process = asdict(file_owners.current_process())
    holder = {"holder": "run night7", "host": "h", "since": "then", **process}
    (store / "locks" / "publishing-1.json").write_text(json.dumps(holder))
    before = tree(store)
    findings = examination.examine(
        settings(catalogue={"columns": {"brand": "maker"}}), StageLine(""), items=500
    )
    bad = {name for name, state in states(findings).items() if state != OK}
    assert bad == {"lock", "catalogue"} == {*examination.problems(findings)}
    assert "in use by run night7 (host h" in text_of(findings, "lock")
    assert "column maker (for brand) is missing" in text_of(findings, "catalogue")
    assert "about 500 items" in text_of(findings, "memory")
    assert tree(store) == before


@pytest.mark.parametrize(
    ("says", "modules", "message"),
    [
        ('openjdk version "11.0.2"', "", "Spark needs Java 17 or later"),
        ("nothing", "", "does not say its version"),
        ('openjdk version "21"', "java.base", "lacks the module jdk.incubator.vector"),
    ],
)
def test_a_java_that_spark_can_not_use_stops_before_spark(
    settings: Callable[..., Config],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    says: str,
    modules: str,
    message: str,
) -> None:
    java = tmp_path / "jdk" / "bin" / "java"
    java.parent.mkdir(parents=True)
    java.write_text(f"#!/bin/sh\n[ $1 = -version ] && echo '{says}' >&2 || echo '{modules}'\n")
    java.chmod(0o700)
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "jdk"))
    findings = examination.examine(settings(), StageLine(""))
    assert message in text_of(findings, "java")
    assert states(findings)["java"] == BAD
    assert states(findings)["store"] == OK
    assert {name for name, state in states(findings).items() if state == SKIPPED} == {*NAMES[7:]}
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    assert "no java in JAVA_HOME" in text_of(host.check(settings()), "java")


def test_a_store_that_can_not_be_written_stops_before_spark(
    settings: Callable[..., Config], tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    found = examination.examine(settings(store={"path": str(tmp_path / "file")}), StageLine(""))
    assert "can't be written" in text_of(found, "store")
    assert states(found)["spark"] == SKIPPED
    assert not (tmp_path / "file").is_dir()


def test_credentials_are_looked_for_and_never_shown(
    settings: Callable[..., Config], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_PROFILE", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "none.json"))
    options = {"format": "jdbc", "path": "", "options": {"password": "${SHOP_PASSWORD}"}}
    chosen = settings(
        {"on": ["failed"], "url_env": "SHOP_PASSWORD_OF_CHAT"},
        store={"path": "s3a://bucket/store"},
        catalogue=options,
        rules={"deny": "gs://bucket/deny.csv"},
    )
    found = host.check(chosen)
    assert states(found)["credentials"] == BAD
    for part in (
        "variable SHOP_PASSWORD is not",
        "variable SHOP_PASSWORD_OF_CHAT",
        "none for s3",
        "none for gs",
    ):
        assert part in text_of(found, "credentials")
    monkeypatch.setenv("SHOP_PASSWORD", "hush-shop")
    monkeypatch.setenv("SHOP_PASSWORD_OF_CHAT", "https://hush.invalid/chat")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "hush-id")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hush-key")
    (tmp_path / "none.json").write_text('{"hush": 1}')
    found = host.check(chosen)
    assert states(found)["credentials"] == OK
    text = text_of(found, "credentials")
    assert "the variable SHOP_PASSWORD_OF_CHAT, s3:// by env, gs:// by the file of GOOGLE" in text
    assert "hush" not in str(found)


def test_receivers_of_this_host_that_are_not_there_are_named(
    settings: Callable[..., Config], tmp_path: Path
) -> None:
    notices: list[dict[str, Any]] = [
        {"on": ["failed"], "command": [name]} for name in ("sh", "no-such-program")
    ]
    places = {"metrics": {"textfile": f"{tmp_path}/a.prom"}, "lineage": {"file": "/none/l.jsonl"}}
    found = host.check(settings(*notices, **places))
    assert states(found)["receivers"] == BAD
    text = text_of(found, "receivers")
    assert "lineage.file: /none is no folder" in text
    assert "no-such-program is no program" in text
    assert "metrics" not in text
    found = host.check(settings(notices[0], metrics=places["metrics"]))
    assert text_of(found, "receivers") == "present: metrics.textfile, sh"


def test_a_missing_package_is_named_with_the_extra_that_has_it(
    settings: Callable[..., Config], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = host.check(settings(text={"dictionary": "small"}))
    assert text_of(found, "packages") == "sudachidict_small installed"
    monkeypatch.setattr(host, "find_spec", lambda _: None)
    found = host.check(settings(text={"dictionary": "full"}, model={"kind": "onnx", "path": "."}))
    assert "pip install 'nitamono[onnx,dictionaries]'" in text_of(found, "packages")


def test_tokenizers_are_needed_by_a_static_model_that_reads_text_only(
    settings: Callable[..., Config], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model2vec_model(tmp_path / "source")
    static.pack(tmp_path / "source", tmp_path / "text")
    rows = np.ones((1, 8), np.float32)
    distil.write(["靴"], rows, tmp_path / "words", text_fingerprint="a", float16=False)

    def packages(path: str) -> str:
        return text_of(host.check(settings(model={"kind": "static", "path": path})), "packages")

    places = [str(tmp_path / "source"), str(tmp_path / "text"), "s3a://bucket/model"]
    assert [packages(path) for path in places] == ["tokenizers installed"] * 3
    monkeypatch.setattr(host, "find_spec", lambda _: None)
    for path in places:
        assert "pip install 'nitamono[static]'" in packages(path)
    assert packages(str(tmp_path / "words")) == "no extra one is needed"


def test_a_cache_without_room_for_two_models_is_named() -> None:
    state, text = host.cache_room(1.0)
    assert state == OK
    assert "a model takes about 1 MiB" in text
    state, text = host.cache_room(1e12)
    assert state == BAD
    assert "set NITAMONO_CACHE to a folder on a larger disk" in text


class _Context:
    """What the memory plan asks of a SparkContext."""

    def __init__(self, master: str, tasks: int, **conf: str) -> None:
        self.master, self.defaultParallelism = master, tasks
        self._conf = {f"spark.executor.{name}": value for name, value in conf.items()}

    def getConf(self) -> SparkConf:  # noqa: N802 - Spark's name
        return SparkConf(loadDefaults=False).setAll([*self._conf.items()])


@pytest.mark.parametrize(
    ("context", "message"),
    [
        (_Context("local[2]", 2), ""),
        (_Context("local[8]", 8), 'set master = "local[4]" under [spark]'),
        (_Context("spark://host:7077", 4, cores="2", memory="2g"), ""),
        (_Context("spark://host:7077", 16, cores="8", memory="4g"), "the system kills some"),
        (_Context("yarn", 4, cores="2", memory="2g", memoryOverhead="4g"), ""),
        (_Context("yarn", 4, cores="2", memory="2g"), "Set spark.executor.memoryOverhead ="),
        (_Context("k8s://https://host", 4, cores="x"), "no number from 1 on"),
    ],
)
def test_the_memory_plan_is_compared_with_what_there_is(
    settings: Callable[..., Config], context: Any, message: str
) -> None:
    if context.getConf().get("spark.executor.cores") == "x":
        context.getConf = lambda: SparkConf(loadDefaults=False).setAll(
            [("spark.executor.cores", "2"), ("spark.executor.memory", "much")]
        )
        message = "[spark]: "
    needs, what = memory.needs_of(settings(), 100_000)
    assert what == "a new model of 100,000 words"
    probe = HostProbe("one", "3.11.7", 8, 12_000.0, OK, "")
    hosts = [probe, replace_name(probe, "two")]
    if message:
        with pytest.raises(UsageError) as raised:
            memory.check(context, hosts, needs, what)
        assert message in str(raised.value)
    else:
        assert what in memory.check(context, hosts, needs, what)


def replace_name(probe: HostProbe, name: str) -> HostProbe:
    return probe._replace(name=name)


def test_more_memory_than_needed_is_no_problem_of_the_same_plan(
    settings: Callable[..., Config],
) -> None:
    needs = requirements.for_encoder(settings(), 1 << 30, 384, 1000)
    probe = HostProbe("one", "3.11.7", 8, 12_000.0, OK, "")
    with pytest.raises(UsageError, match="local"):
        memory.check(_Context("local[8]", 8), [probe], needs, "x")  # type: ignore[arg-type]
    large = probe._replace(memory=120_000.0)
    assert memory.check(_Context("local[8]", 8), [large], needs, "x")  # type: ignore[arg-type]


def test_folders_that_were_made_for_the_probe_go_unless_they_are_used(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b"
    with store_folder.probed_folder(str(path)) as is_new:
        assert is_new
        path.mkdir(parents=True)
    assert not (tmp_path / "a").exists()
    with store_folder.probed_folder(str(path)):
        path.mkdir(parents=True)
        (tmp_path / "a" / "others").touch()
    assert sorted(p.name for p in (tmp_path / "a").iterdir()) == ["others"]
