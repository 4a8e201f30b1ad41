"""The digest of rows; the hashes that PostgreSQL computes are the oracle."""

import random

import numpy as np
import psycopg
import pyarrow as pa

from pipeline.export.postgres import digest
from pipeline.export.postgres.digest import Digest, row_digest
from tests.pipeline.export.conftest import PASSWORD
from tests.pipeline.export.shops import SCHEMA, Row, make_rows
from tests.servers import Server


def test_hashes_are_postgresqls(postgres: Server) -> None:
    rng = random.Random(1)  # noqa: S311 - test data
    texts = ["", "x" * 5_000]
    texts += ["".join(chr(rng.randint(1, 0x2FFF)) for _ in range(n % 61)) for n in range(600)]
    seeds = [0, -1, *(rng.choice((0, rng.randint(-(2**63), 2**63 - 1))) for _ in range(600))]
    with psycopg.connect(
        host="127.0.0.1", port=postgres.port, user="postgres", password=PASSWORD
    ) as connection:
        rows = connection.execute(
            "SELECT hashtextextended(text, seed) FROM unnest(%s::text[], %s::bigint[]) "
            "WITH ORDINALITY AS input (text, seed, place) ORDER BY place",
            [texts, seeds],
        ).fetchall()
    hashes = digest.hashes(pa.array(["left out", *texts])[1:], np.array(seeds, np.int64))
    assert hashes.tolist() == [int(value) % 2**64 for (value,) in rows]


def digest_of(rows: list[Row]) -> Digest:
    return row_digest(pa.table(list(map(list, zip(*rows, strict=True))), schema=SCHEMA))


def test_a_digest_depends_on_the_rows_but_not_on_their_order_or_parts() -> None:
    rows = make_rows(["a", "b", "c"], 1)
    digest = digest_of(rows)
    assert (digest.rows, digest.items) == (30, 3)
    assert digest_of(rows[::-1]) == digest_of(rows[7:]) + digest_of(rows[:7]) == digest


def test_a_change_of_any_value_changes_the_digest() -> None:
    rows = make_rows(["a", "b", "c"], 1)
    item, rank, similar, score = rows[4]
    assert score is not None
    near = float(np.nextafter(np.float32(score), np.float32(1)))
    changed: list[Row] = [
        (item + " ", rank, similar, score),
        (item, rank + 1, similar, score),
        (item, rank, similar[::-1], score),
        (item, rank, similar, near),
        (item, rank, similar, -score),
        (item, rank, similar, None),
        (similar, rank, item, score),
        rows[5],
    ]
    assert len({digest_of([*rows[:4], row, *rows[5:]]) for row in (rows[4], *changed)}) == 9
