from pathlib import Path
from typing import Any

import pytest

from pipeline.config import reading
from pipeline.config.sections.watching import host_and_port
from pipeline.errors import UsageError

NEEDED = {"store": {"path": "store"}, "catalogue": {"path": "items.csv"}}


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ({"notify": [{"on": ["failed"]}]}, "give either url_env"),
        (
            {"notify": [{"on": ["failed"], "url_env": "A", "command": ["b"]}]},
            "give either url_env",
        ),
        ({"notify": [{"on": [], "url_env": "A"}]}, "at least 1 item"),
        ({"notify": [{"on": ["lost"], "url_env": "A"}]}, "'failed', 'held_back'"),
        ({"notify": [{"on": ["failed"], "url_env": "https://hooks.example/x"}]}, r"digits and _\Z"),
        ({"notify": [{"on": ["failed"], "url_env": "NITAMONO_URL"}]}, "name another one"),
        ({"notify": [{"on": ["failed"], "url": "https://a.example"}]}, "url_env"),
        *(
            (
                {"notify": [{"on": ["failed"], "command": ["curl", *words]}]},
                r"from its environment\Z",
            )
            for words in (
                ["--token", "hush-hush"],
                ["-H", "Authorization: Bearer hush-hush"],
                ["-H", "Authorization: hush-hush"],
                ["-H", "X-Api-Key: hush-hush"],
                ["https://hooks.slack.com/services/T0/B0/hush"],
                ["https://discord.com/api/webhooks/1/hush"],
            )
        ),
        ({"report": {"base_url": "javascript:alert(1)"}}, "match pattern"),
        (
            {"notify": [{"on": ["failed"], "command": ["mail", "--password=hush-hush"]}]},
            "let the program read it from its environment",
        ),
        ({"notify": [{"on": ["slow"], "url_env": "A", "slow_factor": 1.0}]}, "greater than 1"),
        ({"metrics": {"textfile": "/var/lib/metrics.txt"}}, r"end in \.prom"),
        ({"metrics": {"pushgateway": "pushgateway:9091"}}, "write http://HOST"),
        ({"metrics": {"statsd": "localhost"}}, "write HOST:PORT"),
        ({"metrics": {"statsd": "localhost:99999"}}, "statsd"),
        ({"metrics": {"labels": {"stage": "a"}}}, "stage can't be a label"),
        ({"metrics": {"labels": {"my-shop": "a"}}}, "my-shop can't be a label"),
        ({"metrics": {"labels": {"shop": ""}}}, "label shop is empty"),
        ({"lineage": {"url": "https://host/api?api_key=hush-hush"}}, "it holds a secret"),
        ({"lineage": {"url": "https://ops:hush-hush@host/"}}, "it holds a secret"),
        ({"lineage": {"file": "s3a://bucket/events"}}, "a file of this host"),
    ],
)
def test_what_cant_be_told_is_refused(sections: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message) as refused:
        reading.from_mapping(NEEDED | sections)
    assert "hush-hush" not in str(refused.value)


def test_a_shell_may_take_secrets_from_its_environment() -> None:
    text = 'curl -H "Authorization: Bearer $TOKEN" --token ${TOKEN} "https://hooks.a.example/$KEY"'
    command = ["sh", "-c", text]
    loaded = reading.from_mapping(NEEDED | {"notify": [{"on": ["failed"], "command": command}]})
    assert loaded.notify[0].command == command


def test_files_are_relative_to_the_config(tmp_path: Path) -> None:
    file = tmp_path / "nitamono.toml"
    file.write_text(
        '[store]\npath = "s"\n[catalogue]\npath = "c"\n'
        '[metrics]\ntextfile = "m.prom"\n[lineage]\nfile = "l.jsonl"\n'
    )
    loaded = reading.load(file, environment={})
    assert loaded.metrics.textfile == str(tmp_path / "m.prom")
    assert loaded.lineage.file == str(tmp_path / "l.jsonl")


@pytest.mark.parametrize(
    ("address", "expected"),
    [("localhost:8125", ("localhost", 8125)), ("[::1]:8125", ("::1", 8125))],
)
def test_an_address_of_statsd_is_host_and_port(address: str, expected: tuple[str, int]) -> None:
    assert host_and_port(address) == expected
