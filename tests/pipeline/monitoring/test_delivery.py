import json
import subprocess
import sys
import time
from base64 import b64encode
from pathlib import Path

import pytest

from pipeline.monitoring.delivery import (
    Deadline,
    Delivery,
    DeliveryError,
    deliver,
    from_environment,
    post,
    secret_address,
)
from pipeline.monitoring.programs import call
from tests.pipeline.monitoring.receivers import hanging, nobody, receiver

JSON = {"Content-Type": "application/json"}


def test_what_is_posted_arrives_with_its_headers() -> None:
    with receiver() as server:
        post(f"{server.url}/hook?to=ops", b'{"a": 1}', JSON, Deadline(5))
    ((method, path, headers, content),) = server.received
    assert (method, path, content) == ("POST", "/hook?to=ops", b'{"a": 1}')
    assert headers["Content-Type"] == "application/json"


def test_a_receiver_in_trouble_is_asked_again() -> None:
    with receiver(503, 429) as server:
        post(server.url, b"{}", JSON, Deadline(5))
    assert len(server.received) == 3


@pytest.mark.parametrize("code", [400, 404, 302])
def test_a_receiver_that_refuses_is_asked_once(code: int) -> None:
    with (
        receiver(code) as server,
        pytest.raises(DeliveryError, match=f"answered {code} .*so it is"),
    ):
        post(server.url, b"{}", JSON, Deadline(5))
    assert [method for method, *_ in server.received] == ["POST"]


def test_a_redirect_that_keeps_the_method_is_followed_without_credentials() -> None:
    with receiver() as final, receiver(f"{final.url}/there") as first:
        post(first.url, b"kept", {"Authorization": "Bearer one"}, Deadline(5))
    ((method, path, headers, content),) = final.received
    assert (method, path, content) == ("POST", "/there", b"kept")
    assert "Authorization" not in headers


def test_user_and_password_of_an_address_become_a_header() -> None:
    with receiver() as server:
        post(server.url.replace("//", "//ops:p%40ss@"), b"", JSON, Deadline(5))
    ((_, _, headers, _),) = server.received
    assert headers["Authorization"] == f"Basic {b64encode(b'ops:p@ss').decode()}"


def test_all_receivers_together_cost_no_more_than_the_limit(tmp_path: Path) -> None:
    said: list[str] = []
    with hanging() as hangs, receiver(*[500] * 9) as failing, receiver() as good:
        addresses = {"hangs": hangs, "fails": failing.url, "nobody": nobody(), "good": good.url}

        def to(address: str) -> Delivery:
            return Delivery(address, lambda d: post(addresses[address], b"", JSON, d))

        started = time.monotonic()
        deliver([to(name) for name in addresses], said.append, Deadline(1.5))
        took = time.monotonic() - started
    assert took < 2.5
    assert len(good.received) == 1
    assert len(failing.received) > 1
    assert [line.split(" was not sent: ")[0] for line in said] == ["hangs", "fails", "nobody"]
    assert "timed out" in said[0]
    assert "500 Internal Server Error: so it is" in said[1]
    assert "Connection refused" in said[2]


def test_those_that_never_return_are_not_waited_for() -> None:
    said: list[str] = []
    started = time.monotonic()
    deliver([Delivery("a", lambda _: time.sleep(60))] * 9, said.append, Deadline(0.2))
    assert time.monotonic() - started < 2
    assert said == ["a was not sent: no answer in time"] * 9


def test_an_error_in_a_receiver_is_said_without_its_secrets(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HOOK", "http://127.0.0.1:1/services/T00/x 7Kq9")
    said: list[str] = []
    deliver([Delivery("a", lambda d: post(secret_address("HOOK"), b"", JSON, d))], said.append)
    assert said == ["a was not sent: its address or a header can't be used"]


@pytest.mark.parametrize("value", ["Bearer hush-hush\nX-Other: 1", "Bearer hüsh-hush"])
def test_a_credential_that_no_header_can_hold_is_refused_and_not_shown(
    value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KEY", value)
    said: list[str] = []

    def send(deadline: Deadline) -> None:
        post("http://127.0.0.1:1/", b"", {"Authorization": from_environment("KEY")}, deadline)

    deliver([Delivery("a", send)], said.append)
    (line,) = said
    assert "KEY holds a line break or another character" in line
    assert "sh-hush" not in line


@pytest.mark.parametrize("value", ["", "ftp://host/x", "hooks.example/x"])
def test_an_address_that_is_none_is_said(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOOK", value)
    with pytest.raises(DeliveryError, match="HOOK"):
        secret_address("HOOK")


def test_a_command_gets_the_content(tmp_path: Path) -> None:
    file = tmp_path / "got.json"
    program = "import sys; open(sys.argv[1], 'wb').write(sys.stdin.buffer.read())"
    call([sys.executable, "-c", program, str(file)], b'{"a": 1}', Deadline(20))
    assert json.loads(file.read_bytes()) == {"a": 1}


def test_a_command_that_fails_says_why() -> None:
    with pytest.raises(DeliveryError, match="ended with exit code 3: no mail today"):
        call(["sh", "-c", "echo no mail today >&2; exit 3"], b"x" * 1_000_000, Deadline(20))


def test_of_a_command_that_prints_without_end_the_last_part_is_kept(tmp_path: Path) -> None:
    program = "yes | head -c 3000000; echo the end; exit 1"
    with pytest.raises(DeliveryError, match="ended with exit code 1: the end"):
        call(["sh", "-c", program], b"", Deadline(20))
    # It would fill the disk: nothing that it prints is written to one.
    limited = f"""
import resource
from pipeline.monitoring.delivery import Deadline, DeliveryError
from pipeline.monitoring.programs import call
resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))
try:
    call(["sh", "-c", {program!r}], b"", Deadline(20))
except DeliveryError as error:
    print(error)
"""
    printed = subprocess.run(
        [sys.executable, "-c", limited], capture_output=True, text=True, check=True
    )
    assert printed.stdout == "sh ended with exit code 1: the end\n"


def test_what_a_receiver_says_stays_in_one_line_and_sends_no_controls() -> None:
    said: list[str] = []
    command = ["sh", "-c", r"printf '\033[2Jone\r\007two\n'; exit 1"]
    deliver([Delivery("a", lambda d: call(command, b"", d))], said.append)
    assert said == ["a was not sent: sh ended with exit code 1: [2Jone two"]
    with receiver(*["/loop"] * 9) as server:
        deliver([Delivery("b", lambda d: post(server.url, b"", JSON, d))], said.append)
    assert "\n" not in said[1]


def test_a_redirect_leads_to_http_only() -> None:
    with (
        receiver("ftp://127.0.0.1:1/there") as server,
        pytest.raises(DeliveryError, match="answered 307"),
    ):
        post(server.url, b"", JSON, Deadline(5))


def test_a_command_that_hangs_is_ended_with_its_children(tmp_path: Path) -> None:
    file = tmp_path / "still-there"
    started = time.monotonic()
    with pytest.raises(DeliveryError, match="took too long"):
        call(["sh", "-c", f"(sleep 1.5; touch {file}) & wait"], b"", Deadline(0.5))
    assert time.monotonic() - started < 1.4
    time.sleep(1.5)
    assert not file.exists()


def test_a_command_that_is_not_there_is_said() -> None:
    with pytest.raises(DeliveryError, match="can't be started: No such file"):
        call(["/no/such/program"], b"", Deadline(5))
