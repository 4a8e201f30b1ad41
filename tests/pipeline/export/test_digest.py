"""The digest of rows; what PostgreSQL makes of the same texts is the oracle."""

import random

import numpy as np
import psycopg
import pyarrow as pa

from pipeline.export import digest
from pipeline.export.digest import Digest
from tests.pipeline.export.conftest import PASSWORD
from tests.pipeline.export.shops import SCHEMA, Row, rows_of
from tests.servers import Server


def test_hashes_are_postgresqls(postgres: Server) -> None:
    rng = random.Random(1)  # noqa: S311 - test data
    texts = ["", "x" * 5_000]
    texts += ["".join(chr(rng.randint(1, 0x2FFF)) for _ in range(n % 61)) for n in range(600)]
    seeds = [0, -1, *(rng.choice((0, rng.randint(-(2**63), 2**63 - 1))) for _ in range(600))]
    with psycopg.connect(
        host="127.0.0.1", port=postgres.port, user="postgres", password=PASSWORD
    ) as connection:
        theirs = connection.execute(
            "SELECT hashtextextended(text, seed) FROM unnest(%s::text[], %s::bigint[]) "
            "WITH ORDINALITY AS given (text, seed, place) ORDER BY place",
            [texts, seeds],
        ).fetchall()
    ours = digest.hashes(pa.array(["left out", *texts])[1:], np.array(seeds, np.int64))
    assert ours.tolist() == [int(one) % 2**64 for (one,) in theirs]


def of(rows: list[Row]) -> Digest:
    return digest.of(pa.table(list(map(list, zip(*rows, strict=True))), schema=SCHEMA))


def test_a_digest_is_the_rows_whatever_their_order_and_parts() -> None:
    rows = rows_of(["a", "b", "c"], 1)
    whole = of(rows)
    assert (whole.rows, whole.items) == (30, 3)
    assert of(rows[::-1]) == of(rows[7:]) + of(rows[:7]) == whole


def test_any_value_that_is_another_is_seen() -> None:
    rows = rows_of(["a", "b", "c"], 1)
    item, rank, similar, score = rows[4]
    near = float(np.nextafter(np.float32(score), np.float32(1)))
    changed: list[Row] = [
        (item + " ", rank, similar, score),
        (item, rank + 1, similar, score),
        (item, rank, similar[::-1], score),
        (item, rank, similar, near),
        (item, rank, similar, -score),
        (similar, rank, item, score),
        rows[5],
    ]
    assert len({of([*rows[:4], row, *rows[5:]]) for row in (rows[4], *changed)}) == 8
