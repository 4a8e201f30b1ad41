"""Addresses: which are accepted, and that no password is shown."""

import pytest

from pipeline.errors import UsageError
from pipeline.export.address import Address
from pipeline.redaction import mask


@pytest.mark.parametrize(
    ("text", "kind", "label"),
    [
        ("postgres://shop@db:5432/shop", "postgres", "postgres://db:5432/shop"),
        ("postgresql://db", "postgres", "postgresql://db/"),
        ("postgresql:///shop?host=/run/pg&port=5433", "postgres", "postgresql:///run/pg:5433/shop"),
        ("postgres://a:1,b:2/shop", "postgres", "postgres://a,b:1,2/shop"),
        ("postgres://?service=shop", "postgres", "postgres:///"),
        ("redis://cache:6379/2", "redis", "redis://cache:6379/2"),
        ("rediss://shop@cache", "redis", "rediss://cache/"),
        ("unix:///run/redis.sock?db=1", "redis", "unix:///run/redis.sock/1"),
        ("jsonl", "jsonl", "jsonl"),
    ],
)
def test_addresses_are_parsed(text: str, kind: str, label: str) -> None:
    address = Address.parse(text, {})
    assert (address.kind, address.label, address.url) == (kind, label, text)


@pytest.mark.parametrize(
    "text",
    [
        "postgres://shop:geheim@db/shop",
        "postgres://shop:geheim%40x@db/shop",
        "postgresql://db/shop?user=shop&password=geheim",
        "postgresql://db/shop?sslpassword=geheim",
        "redis://:geheim@cache/0",
        "redis://shop:geheim@cache/0",
        "redis://cache/0?password=geheim",
        "unix://shop:geheim@/run/redis.sock",
    ],
)
def test_a_password_is_refused_on_the_command_line_and_accepted_in_a_variable(text: str) -> None:
    with pytest.raises(UsageError, match="a password on the command line") as refused:
        Address.parse(text, {})
    address = Address.parse("env:SHOP", {"SHOP": text})
    assert address.url == text
    for message in (
        str(refused.value),
        address.label,
        repr(address),
        address.redact(f"no {text} there"),
    ):
        assert "geheim" not in message


@pytest.mark.parametrize(
    "text",
    ["mysql://shop:geheim@db", "geheim", "redis:geheim", "postgres://u:geheim@db:port/x",
     "redis://:geheim@cache:port", "env:UNSET"],
)  # fmt: skip
def test_a_text_that_is_no_address_is_not_repeated(text: str) -> None:
    with pytest.raises(UsageError) as refused:
        Address.parse(text, {})
    assert "geheim" not in str(refused.value)


def test_passwords_are_left_out_of_any_text() -> None:
    text = (
        "see redis://shop:geheim@cache:1/0, postgres://db/x?password=geheim&x=1 and http://a:80/b"
    )
    assert mask(text) == (
        "see redis://shop:***@cache:1/0, postgres://db/x?password=***&x=1 and http://a:80/b"
    )
