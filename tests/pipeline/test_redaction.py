"""Secrets are told by their names, masked in texts, and refused in settings."""

import contextlib
import sys
import traceback
from pathlib import Path

import pytest

from pipeline import redaction
from pipeline.cli import main
from pipeline.config import reading
from pipeline.config.sections import Config
from pipeline.errors import StageError, UsageError, cause
from pipeline.spark.session import settings

SECRET = "hunter2-zx9"  # noqa: S105
TWO_SECTIONS = '[store]\npath = "store"\n[catalogue]\npath = "items.csv"\n'
SETTINGS = {
    "an access key": f'[spark]\n"hadoop.fs.s3a.access.key" = "{SECRET}"',
    "a key of a bucket": f'[spark.hadoop.fs.s3a.bucket.shop.secret]\nkey = "{SECRET}"',
    "a Java option": f'[spark]\n"driver.extraJavaOptions" = "-Xss4m -Djavax.net.password={SECRET}"',
    "a variable of executors": f'[spark]\n"executorEnv.PGPASSWORD" = "{SECRET}"',
    "a repository": f'[spark]\n"jars.repositories" = "https://me:{SECRET}@repo.example/"',
    "a database": f'[spark]\n"x.url" = "jdbc:postgresql://db/shop?user=me&password={SECRET}"',
    "a token of a catalogue": f'[spark]\n"sql.catalog.lake.token" = "{SECRET}"',
    "a credential": f'[spark]\n"sql.catalog.lake.credential" = "me:{SECRET}"',
    "an endpoint": f'[s3]\nendpoint = "http://me:{SECRET}@127.0.0.1:9000"',
    "an endpoint without a scheme": f'[s3]\nendpoint = "me:{SECRET}@127.0.0.1:9000"',
    "an invented setting": f'[s3]\nsecret_key = "{SECRET}"',
    "an invented section": f'[aws]\nsecret_access_key = "{SECRET}"',
    "no section": f'spark = "{SECRET}"',
    "a path": f'[rules]\ndeny = "s3a://me:{SECRET}@shop/deny.csv"',
    "a prefix": f'[s3]\nstaging = "s3://me:{SECRET}@shop/models"',
}


def load(tmp_path: Path, text: str, *sets: str, **environment: str) -> Config:
    file = tmp_path / "nitamono.toml"
    file.write_text(text, encoding="utf-8")
    return reading.load(file, sets, environment)


@pytest.mark.parametrize("place", SETTINGS)
def test_a_config_with_a_secret_is_refused_and_the_secret_not_repeated(
    tmp_path: Path, place: str
) -> None:
    text = SETTINGS[place]
    with pytest.raises(UsageError) as refused:
        load(tmp_path, f"{text}\n{TWO_SECTIONS}" if place == "no section" else TWO_SECTIONS + text)
    assert SECRET not in "".join(traceback.format_exception(refused.value))


def test_the_refusal_says_what_to_write_instead(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as refused:
        load(tmp_path, TWO_SECTIONS, f"spark.hadoop.fs.s3a.secret.key={SECRET}")
    message = str(refused.value)
    assert "spark.hadoop.fs.s3a.secret.key is a secret" in message
    for way in (
        "AWS_SECRET_ACCESS_KEY",
        "s3.profile",
        "credential.provider.path",
        "SPARK_CONF_DIR",
    ):
        assert way in message
    assert SECRET not in message


def test_the_command_line_the_environment_and_notebooks_are_refused_too(tmp_path: Path) -> None:
    name = "spark.hadoop.fs.s3a.secret.key"
    for sets, environment in (
        ([f"{name}={SECRET}"], {}),
        ([f"{name} {SECRET}"], {}),
        ([f"catalogue.path=s3a://me:{SECRET}@shop/items"], {}),
        ([], {"NITAMONO_SPARK_HADOOP_FS_S3A_SECRET_KEY": SECRET}),
    ):
        with pytest.raises(UsageError) as refused:
            load(tmp_path, TWO_SECTIONS, *sets, **environment)
        assert SECRET not in str(refused.value)
    raw = {"store.path": "store", "catalogue.path": "items.csv", name: SECRET}
    with pytest.raises(UsageError) as refused:
        reading.from_mapping(raw)
    assert SECRET not in "".join(traceback.format_exception(refused.value))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("hadoop.hadoop.security.credential.provider.path", "jceks://file/etc/keys.jceks"),
        ("hadoop.fs.s3a.aws.credentials.provider", "org.example.Provider"),
        ("authenticate.secret.file", "/etc/spark/secret"),
        ("kubernetes.driver.secretKeyRef.AWS_SECRET_ACCESS_KEY", "s3:secret"),
        ("security.credentials.hive.enabled", "false"),
        ("hadoop.fs.azure.path", "abfss://box@account.dfs.core.windows.net/x"),
        ("driver.extraJavaOptions", "-Dlog4j.configuration=file:log4j.properties -Dtokens.max=5"),
    ],
)
def test_what_says_where_a_secret_is_stays_a_setting(tmp_path: Path, name: str, value: str) -> None:
    loaded = load(tmp_path, TWO_SECTIONS + f'[spark]\n"{name}" = "{value}"')
    assert loaded.spark == {f"spark.{name}": value}
    assert redaction.mask_settings(loaded.model_dump()) == loaded.model_dump()


@pytest.mark.parametrize(
    "text",
    [
        f"no way to redis://shop:{SECRET}@cache:1/0",
        f"psql 'password={SECRET} host=db'",
        f"https://shop.example/items?X-Amz-Signature={SECRET}&x=1",
        f"-Dfs.s3a.secret.key={SECRET}",
        f'{{"aws_secret_access_key": "{SECRET}"}}',
        f"{{'session_token': '{SECRET}'}}",
        f"Authorization: Bearer {SECRET}",
        f"pip can't reach https://{SECRET}0123456789@repo.example/simple",
        f"jdbc:db://host;db.pwd={SECRET};x",
    ],
)
def test_a_text_is_shown_without_its_secrets(text: str) -> None:
    masked = redaction.mask(text)
    assert SECRET not in masked
    assert redaction.MASK in masked
    assert redaction.mask(masked) == masked


@pytest.mark.parametrize(
    "text",
    [
        "text.tokenizer = sudachi, 5 tokens = few, embed.method=mean",
        "a secret is no password: see https://example.org:8080/a?b=c",
        "spark.executor.memory=4g; s3.profile = shop; PWD=/home/shop",
    ],
)
def test_other_texts_stay_as_they_are(text: str) -> None:
    assert redaction.mask(text) == text


def test_a_secret_that_is_known_is_masked_wherever_it_stands(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SHOP_DB_PASSWORD", SECRET)
    monkeypatch.setenv("SHOP_TOKEN_FILE", "/var/run/token")
    monkeypatch.setenv("SHOP_TOKEN", f"/{SECRET}")
    monkeypatch.setenv("SHOP_CREDENTIALS", str(tmp_path))
    assert redaction.mask(f"/{SECRET} {tmp_path}") == f"*** {tmp_path}"
    assert str(StageError(f"no user {SECRET} in /var/run/token")) == "no user *** in /var/run/token"
    assert cause(ValueError(f"bad {SECRET}!")) == "ValueError: bad ***!"
    monkeypatch.delenv("SHOP_DB_PASSWORD")
    monkeypatch.setattr(redaction, "_remembered", set())
    redaction.remember("a/b c@d?")
    assert redaction.mask("one a/b c@d? and a%2Fb%20c%40d%3F") == "one *** and ***"


def test_what_a_command_line_holds_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redaction, "_remembered", set())
    words = ["--secret-key", f"{SECRET}1", f"s3://me:{SECRET}2@shop/x", f"--x=password={SECRET}3"]
    redaction.remember_arguments([*words, "--token", "--json"])
    assert redaction.mask(f"{SECRET}1 me:{SECRET}2@ {SECRET}3 --json") == "*** me:***@ *** --json"


def test_a_failing_run_and_verbs_write_and_print_no_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The secrets stand where errors repeat them: in paths, addresses and arguments."""
    monkeypatch.setattr(redaction, "_remembered", set())
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "SHOP_PASSWORD"):
        monkeypatch.setenv(name, SECRET)
    monkeypatch.setenv("TARGET", f"redis://shop:{SECRET}@127.0.0.1:9/0")
    file = tmp_path / "nitamono.toml"
    file.write_text(
        f'[store]\npath = "store"\n[catalogue]\npath = "s3a://shop/{SECRET}/items"\n'
        '[s3]\nendpoint = "http://127.0.0.1:9"\n'
    )
    for words in (
        ["run", "--run-id", "failing"],
        ["runs"],
        ["run", "--dry-run", "--secret-key", SECRET],
        ["runs", "--set", f"spark.hadoop.fs.s3a.secret.key={SECRET}"],
        ["model", "pull", f"s3://me:{SECRET}@shop/models"],
        ["export", "--to", "env:TARGET"],
        ["report", SECRET],
    ):
        monkeypatch.setattr(sys, "argv", ["nitamono", *words, "--config", str(file)])
        with contextlib.suppress(SystemExit):
            main.main()
    printed = "".join(capsys.readouterr())
    assert "failing  " in printed
    assert printed.count("nitamono: ") == 6
    written = {one.name: one.read_text() for one in tmp_path.rglob("*") if one.is_file()}
    assert {"run.json", "error.txt"} < written.keys()
    del written["nitamono.toml"]
    assert SECRET not in printed + "".join(written.values())


def test_the_colon_after_a_secret_is_no_part_of_it() -> None:
    said = redaction.mask("https://h/x?X-Amz-Signature=Fb12cd34:56: write an S3 address")
    assert said == "https://h/x?X-Amz-Signature=***: write an S3 address"


def test_settings_are_masked_by_name_and_by_value() -> None:
    raw = {
        "spark": {"spark.x.secret": SECRET, "spark.y": f"-Dpassword={SECRET}", "spark.z": "1g"},
        "neighbors": {"k": 5},
        "rules": {"same": ["locale"]},
    }
    assert redaction.mask_settings(raw) == raw | {
        "spark": {"spark.x.secret": "***", "spark.y": "-Dpassword=***", "spark.z": "1g"}
    }


def test_spark_masks_the_same_names_in_its_web_ui_and_event_log() -> None:
    pattern = settings({})["spark.redaction.regex"]
    assert pattern == f"(?i){redaction.SECRET_NAME}"
