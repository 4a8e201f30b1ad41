"""Exports to a real PostgreSQL."""

import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import psycopg
import pytest

from tests.pipeline.export.conftest import PASSWORD
from tests.pipeline.export.shops import ExportResult, K, Row, Shop, make_rows, with_filled
from tests.servers import Server

Query = Callable[..., list[tuple[Any, ...]]]
ITEMS = [f"i{number:05d}" for number in range(2_000)]


class Database(NamedTuple):
    """A database for one test.

    Attributes:
        url: its address, without the password.
        name: its name.
        server: the server that it is on.
    """

    url: str
    name: str
    server: Server

    def connect(self, user: str = "postgres") -> "psycopg.Connection[tuple[Any, ...]]":
        return psycopg.connect(
            host="127.0.0.1", port=self.server.port, dbname=self.name, user=user,
            password=PASSWORD, autocommit=True,
        )  # fmt: skip

    def ask(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        with self.connect() as connection:
            cursor = connection.cursor(binary=True)
            cursor.execute(query.encode(), values or None)
            return cursor.fetchall() if cursor.description else []

    def table(self, name: str = "similar_items") -> list[Row]:
        rows = self.ask(f'SELECT * FROM {name} ORDER BY item_id COLLATE "C", rank')
        return [(item, rank, similar, score) for item, rank, similar, score in rows]

    def relations(self) -> list[str]:
        query = "SELECT relname::text FROM pg_class WHERE relnamespace = 'public'::regnamespace"
        return sorted(name for (name,) in self.ask(query))


@pytest.fixture
def database(postgres: Server, request: pytest.FixtureRequest) -> Iterator[Database]:
    name = f"db{abs(hash(request.node.name))}"
    maintenance = Database("", "postgres", postgres)
    maintenance.ask(f"CREATE DATABASE {name}")
    yield Database(f"postgres://postgres@127.0.0.1:{postgres.port}/{name}", name, postgres)
    maintenance.ask(f"DROP DATABASE {name} WITH (FORCE)")


def export(shop: Shop, database: Database, *arguments: str) -> ExportResult:
    return shop.export("--to", database.url, *arguments, PGPASSWORD=PASSWORD)


def test_the_table_is_the_stores_to_the_bit(shop: Shop, database: Database) -> None:
    rows = shop.publish("v1", with_filled(make_rows(ITEMS, 1)), files=7)
    summary = export(shop, database, "--json").json()
    assert database.table() == rows
    assert (summary["rows"], summary["items"], summary["files"]) == (len(rows), len(ITEMS), 7)
    assert summary["checked"] == "counted, and hashes of all rows compared"
    assert database.relations() == ["similar_items", "similar_items_pkey"]
    [(comment,)] = database.ask("SELECT obj_description('similar_items'::regclass)")
    assert '"version": "v1", "run_id": "run-v1", "rows": 20000, "items": 2000' in comment


def test_odd_ids_arrive_as_they_are(shop: Shop, database: Database) -> None:
    odd = ["\\N", "\\.", "", " ", 'a"b', "a'b", "a,b", "a\tb", "a\nb", "a\r\nb", "\\", "NULL"]
    odd += ["似たもの", "e\u0301", "😀", "\u2028", "\x7f", "%s", "{}", "x" * 2000]
    rows = shop.publish("v1", make_rows(odd, 1, k=3), files=3)
    assert export(shop, database).code == 0
    assert database.table() == rows


def test_a_name_is_quoted_and_may_have_a_schema(shop: Shop, database: Database) -> None:
    database.ask('CREATE SCHEMA "Shop"')
    for version in (1, 2):
        rows = shop.publish(f"v{version}", make_rows(ITEMS[:5], version))
        assert export(shop, database, "--table", 'Shop.odd "name";--').code == 0
        assert database.table('"Shop"."odd ""name"";--"') == rows
    result = export(shop, database, "--table", "nowhere.similar_items")
    assert (result.code, "no such schema" in result.last_line) == (2, True)
    result = export(shop, database, "--table", "x" * 50)
    assert (result.code, "1 to 38 bytes" in result.last_line) == (2, True)


def test_an_id_that_cannot_be_stored_is_named(shop: Shop, database: Database) -> None:
    old = shop.publish("v1", make_rows(ITEMS[:5], 1))
    assert export(shop, database).code == 0
    shop.publish("v2", make_rows([*ITEMS[:5], "nul\0id"], 2))
    result = export(shop, database)
    assert result.code == 5
    assert r"the item 'nul\x00id' has a NUL character in its id" in result.last_line
    assert database.table() == old


def test_a_version_that_is_there_already_is_not_copied_again(
    shop: Shop, database: Database
) -> None:
    shop.publish("v1", make_rows(ITEMS[:5], 1))
    oid = "SELECT 'similar_items'::regclass::oid"
    assert export(shop, database).code == 0
    first = database.ask(oid)
    again = export(shop, database)
    assert "nothing to do: this version is there already" in again.out
    assert database.ask(oid) == first
    assert export(shop, database, "--again").code == 0
    assert database.ask(oid) != first
    shop.publish("v2", make_rows(ITEMS[:5], 2))
    assert export(shop, database, "--version", "v1", "--json").json()["done"] == "already"


def test_readers_never_see_half_a_table(shop: Shop, database: Database) -> None:
    shop.publish("v1", make_rows(ITEMS, 1), files=3)
    assert export(shop, database).code == 0
    answers: list[tuple[int, ...]] = []
    failed: list[Exception] = []
    stop = threading.Event()

    def poll() -> None:
        # Every list is complete and of one version, in each look at the table.
        query = (
            "SELECT count(*), count(DISTINCT item_id), count(DISTINCT split_part(similar_id, '-', "
            "2)), min(split_part(similar_id, '-', 2))::int, sum(rank) FROM similar_items"
        )
        try:
            with database.connect() as connection:
                while not stop.is_set():
                    row = connection.execute(query).fetchone()
                    assert row is not None
                    answers.append(row)
        except Exception as error:
            failed.append(error)

    readers = [threading.Thread(target=poll) for _ in range(2)]
    for reader in readers:
        reader.start()
    try:
        for version, count in ((2, 1_500), (3, 2_000), (4, 1_900)):
            shop.publish(f"v{version}", make_rows(ITEMS[:count], version), files=5)
            result = export(shop, database)
            assert result.code == 0, result.error
    finally:
        stop.set()
        for reader in readers:
            reader.join()
    assert not failed
    items = {1: 2_000, 2: 1_500, 3: 2_000, 4: 1_900}
    complete = {(n * K, n, 1, v, n * K * (K + 1) // 2) for v, n in items.items()}
    assert set(answers) <= complete
    assert len({row[3] for row in answers}) > 2


def test_a_killed_export_leaves_the_old_table_and_the_next_goes_on(
    shop: Shop, database: Database
) -> None:
    old = shop.publish("v1", make_rows(ITEMS[:50], 1))
    assert export(shop, database).code == 0
    new = shop.publish("v2", make_rows(ITEMS, 2), files=40)
    process = shop.start("--to", database.url, "--jobs", "2", PGPASSWORD=PASSWORD)
    done = _wait_for_files(database, 5)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert database.table() == old
    # ctid is where a row lies: rows that are copied again lie elsewhere.
    places = "SELECT ctid::text, item_id, rank FROM similar_items__nitamono_new ORDER BY ctid"
    _wait_until_alone(database)
    before = database.ask(places)
    assert len(before) >= done * len(new) / 40
    summary = export(shop, database, "--json").json()
    assert summary["files_copied"] == 40 - len(before) * 40 // len(new)
    assert database.table() == new
    after = database.ask(places.replace("__nitamono_new", ""))
    assert set(before) <= set(after)
    assert database.relations() == ["similar_items", "similar_items_pkey"]


def test_an_interrupted_export_of_another_version_is_not_continued(
    shop: Shop, database: Database
) -> None:
    shop.publish("v1", make_rows(ITEMS, 1), files=40)
    process = shop.start("--to", database.url, "--jobs", "1", PGPASSWORD=PASSWORD)
    _wait_for_files(database, 2)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    _wait_until_alone(database)
    rows = shop.publish("v2", make_rows(ITEMS[:50], 2), files=4)
    assert export(shop, database, "--json").json()["files_copied"] == 4
    assert database.table() == rows


def test_two_at_once_are_kept_apart(shop: Shop, database: Database) -> None:
    rows = shop.publish("v1", make_rows(ITEMS, 1), files=40)
    process = shop.start("--to", database.url, "--jobs", "1", PGPASSWORD=PASSWORD)
    _wait_for_files(database, 1)
    second = export(shop, database)
    assert second.code == 5
    assert "another export to public.similar_items is under way (pid " in second.last_line
    assert process.communicate()[0]
    assert process.returncode == 0
    assert database.table() == rows


def test_grants_owner_and_indexes_stay(shop: Shop, database: Database) -> None:
    shop.publish("v1", make_rows(ITEMS[:50], 1))
    assert export(shop, database).code == 0
    for statement in (
        "CREATE ROLE shop_owner",
        f"CREATE ROLE reader LOGIN PASSWORD '{PASSWORD}'",
        "CREATE ROLE auditor",
        "CREATE ROLE nobody_else",
        "GRANT USAGE, CREATE ON SCHEMA public TO shop_owner",
        "ALTER TABLE similar_items OWNER TO shop_owner",
        "GRANT SELECT ON similar_items TO reader",
        "GRANT SELECT (item_id), UPDATE ON similar_items TO auditor WITH GRANT OPTION",
        "CREATE INDEX shown_in ON similar_items (similar_id) WHERE rank < 3",
        # A new table gets this privilege by default; the old one did not have it.
        "ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO nobody_else",
    ):
        database.ask(statement)
    about = (
        "SELECT relowner::regrole::text, relacl::text, (SELECT attacl::text FROM pg_attribute "
        "WHERE attrelid = c.oid AND attname = 'item_id'), (SELECT array_agg(pg_get_indexdef("
        "indexrelid) ORDER BY 1) FROM pg_index WHERE indrelid = c.oid) FROM pg_class c "
        "WHERE oid = 'similar_items'::regclass"
    )
    before = database.ask(about)
    try:
        for version in (2, 3):
            shop.publish(f"v{version}", make_rows(ITEMS[:50], version))
            result = export(shop, database)
            assert result.code == 0, result.error
            [(owner, acl, column, indexes)] = database.ask(about)
            assert (owner, column, indexes) == (before[0][0], before[0][2], before[0][3])
            assert sorted(acl[1:-1].split(",")) == sorted(before[0][1][1:-1].split(","))
            assert len(indexes) == 2
        with database.connect("reader") as reader:
            assert reader.execute("SELECT count(*) FROM similar_items").fetchone() == (500,)
    finally:
        for role in ("shop_owner", "reader", "auditor", "nobody_else"):
            database.ask(f"DROP OWNED BY {role} CASCADE")
            database.ask(f"DROP ROLE {role}")


@pytest.mark.parametrize(
    ("statement", "named"),
    [
        ("CREATE VIEW best AS SELECT * FROM similar_items WHERE rank = 1", "view best"),
        ("CREATE MATERIALIZED VIEW kept AS SELECT * FROM similar_items", "materialized view kept"),
        ("CREATE PUBLICATION all_changes FOR TABLE similar_items", "publication all_changes"),
        ("ALTER TABLE similar_items ADD CHECK (rank < 99)", "constraint similar_items_rank_check"),
        ("ALTER TABLE similar_items ENABLE ROW LEVEL SECURITY", "row security"),
        ("ALTER TABLE similar_items ADD COLUMN more int", "is no table of similar items"),
    ],
)
def test_objects_that_depend_on_the_old_table_stop_the_export_before_it_copies(
    shop: Shop, database: Database, statement: str, named: str
) -> None:
    shop.publish("v1", make_rows(ITEMS[:5], 1))
    assert export(shop, database).code == 0
    database.ask(statement)
    relations = database.relations()
    shop.publish("v2", make_rows(ITEMS[:5], 2))
    result = export(shop, database)
    assert result.code == 5
    assert named in result.last_line
    assert database.relations() == relations


def test_a_table_of_something_else_is_not_replaced(shop: Shop, database: Database) -> None:
    database.ask("CREATE TABLE similar_items (precious text)")
    shop.publish("v1", make_rows(ITEMS[:5], 1))
    result = export(shop, database)
    assert (result.code, "rename it, or choose another name" in result.last_line) == (5, True)
    assert database.relations() == ["similar_items"]


def test_the_swap_waits_for_a_long_transaction_and_lets_other_readers_through(
    shop: Shop, database: Database
) -> None:
    old = shop.publish("v1", make_rows(ITEMS[:50], 1))
    assert export(shop, database).code == 0
    new = shop.publish("v2", make_rows(ITEMS[:50], 2))
    with database.connect() as holder:
        holder.execute("BEGIN; SELECT FROM similar_items")
        result = export(shop, database, "--swap-wait", "2")
        assert result.code == 5
        assert "in use for 2 s by pid" in result.last_line
        assert str(holder.info.backend_pid) in result.last_line
        process = shop.start("--to", database.url, "--json", PGPASSWORD=PASSWORD)
        for _ in range(4):
            start = time.monotonic()
            assert database.table() == old
            assert time.monotonic() - start < 5
        holder.execute("COMMIT")
    out, error = process.communicate()
    # The table that was ready is not copied again.
    assert ExportResult(process.returncode, out, error).json()["files_copied"] == 0
    assert database.table() == new


def test_a_table_that_waits_for_its_swap_gets_the_indexes_that_are_there_then(
    shop: Shop, database: Database
) -> None:
    shop.publish("v1", make_rows(ITEMS[:50], 1))
    assert export(shop, database).code == 0
    database.ask("CREATE INDEX gone ON similar_items (score)")
    new = shop.publish("v2", make_rows(ITEMS[:50], 2))
    with database.connect() as holder:
        holder.execute("BEGIN; SELECT FROM similar_items")
        assert export(shop, database, "--swap-wait", "0").code == 5
    for statement in (
        "DROP INDEX gone",
        "ALTER TABLE similar_items DROP CONSTRAINT similar_items_pkey",
        'ALTER TABLE similar_items ADD CONSTRAINT "the Key" PRIMARY KEY (item_id, rank)',
        "CREATE UNIQUE INDEX shown ON similar_items (similar_id, item_id)",
    ):
        database.ask(statement)
    assert export(shop, database, "--json").json()["files_copied"] == 0
    assert database.table() == new
    assert database.relations() == ["shown", "similar_items", "the Key"]


def test_a_view_created_during_the_export_stops_the_swap(shop: Shop, database: Database) -> None:
    shop.publish("v1", make_rows(ITEMS[:50], 1))
    assert export(shop, database).code == 0
    shop.publish("v2", make_rows(ITEMS[:50], 2))
    with database.connect() as holder:
        holder.execute("BEGIN; SELECT FROM similar_items")
        process = shop.start("--to", database.url, PGPASSWORD=PASSWORD)
        _wait_for(database, "SELECT 1 FROM pg_class WHERE relname = 'similar_items__nitamono_0'", 0)
        _wait_for_files(database, 1)
        holder.execute("CREATE VIEW best AS SELECT * FROM similar_items")
        holder.execute("COMMIT")
    _, error = process.communicate()
    assert process.returncode == 5
    assert "view best" in error.splitlines()[-1]


def test_a_table_that_differs_from_the_stores_is_not_swapped_in(
    shop: Shop, database: Database
) -> None:
    old = shop.publish("v1", make_rows(ITEMS[:50], 1))
    assert export(shop, database).code == 0
    shop.publish("v2", make_rows(ITEMS, 2), files=3)
    with database.connect() as holder:
        holder.execute("BEGIN; SELECT FROM similar_items")
        assert export(shop, database, "--swap-wait", "0").code == 5
        # The number of rows stays, one row changes.
        database.ask(
            "UPDATE similar_items__nitamono_new SET score = score + 0.001 "
            "WHERE item_id = 'i00001' AND rank = 3"
        )
    result = export(shop, database)
    assert result.code == 5
    assert "the table that was copied is not the store's" in result.last_line
    assert database.table() == old
    assert export(shop, database, "--json").json()["files_copied"] == 3


def test_the_password_is_shown_nowhere(shop: Shop, database: Database, tmp_path: Path) -> None:
    shop.publish("v1", make_rows(ITEMS, 1), files=20)
    quoted = "geheim-42%25%2F%40"
    secret = database.url.replace("postgres@", f"postgres:{quoted}@")
    refused = shop.export("--to", secret)
    assert (refused.code, "a password on the command line" in refused.last_line) == (2, True)
    unread = shop.export("--to", secret.replace("127.0.0.1:", "[127.0.0.1:"))
    assert (unread.code, "can't be read" in unread.last_line) == (2, True)
    # argparse would repeat an argument in the wrong place.
    unknown = shop.run(secret)
    wrong = shop.export("--to", database.url, PGPASSWORD="falsch-99")
    assert (wrong.code, "password authentication failed" in wrong.last_line) == (5, True)
    assert "set PGPASSWORD" in wrong.last_line
    process = shop.start("--to", "env:SHOP_DATABASE", "--jobs", "1", SHOP_DATABASE=secret)
    lines = set()
    while process.poll() is None:
        lines |= set(_command_lines(process.pid))
    out, error = process.communicate()
    assert process.returncode == 0, error
    assert any("env:SHOP_DATABASE" in line for line in lines)
    texts = [out, error, *lines]
    texts += [
        text for result in (refused, unread, unknown, wrong) for text in (result.out, result.error)
    ]
    texts += [
        path.read_bytes().decode(errors="replace") for path in tmp_path.rglob("*") if path.is_file()
    ]
    texts += [comment for (comment,) in database.ask("SELECT description FROM pg_description")]
    for part in (PASSWORD, quoted, "geheim", "falsch-99"):
        assert not [text for text in texts if part in text]


def test_a_server_that_is_not_there_is_named(shop: Shop) -> None:
    shop.publish("v1", make_rows(ITEMS[:5], 1))
    result = shop.export("--to", "postgresql://shop@127.0.0.1:1/shop")
    assert result.code == 5
    assert "export to postgresql://127.0.0.1:1/shop failed" in result.last_line


def test_a_unix_socket_is_reached(shop: Shop, database: Database) -> None:
    rows = shop.publish("v1", make_rows(ITEMS[:5], 1))
    query = f"host={database.server.folder}&port={database.server.port}"
    result = shop.export(
        "--to", f"postgresql:///{database.name}?{query}&user=postgres", PGPASSWORD=PASSWORD
    )
    assert result.code == 0, result.error
    assert database.table() == rows


def _command_lines(pid: int) -> Iterator[str]:
    """The command lines of a process and its children, as anybody on the host sees them."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((folder / "stat").read_text().rsplit(")", 1)[1].split()[1])
            if pid in (int(folder.name), parent):
                yield (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except (OSError, IndexError):
            continue


def _wait_for_files(database: Database, count: int) -> int:
    return _wait_for(database, "SELECT FROM similar_items__nitamono_files", count)


def _wait_for(database: Database, query: str, count: int) -> int:
    """Wait until a query has at least this number of rows; return their number."""
    deadline = time.monotonic() + 60
    with database.connect() as connection:
        while time.monotonic() < deadline:
            try:
                rows = connection.execute(query.encode()).fetchall()
            except psycopg.errors.UndefinedTable:
                rows = []
            if len(rows) >= count:
                return len(rows)
    raise AssertionError(query)


def _wait_until_alone(database: Database) -> None:
    """Wait until the server has noticed that a killed export is gone."""
    others = "SELECT 1 FROM pg_stat_activity WHERE application_name = 'nitamono export'"
    deadline = time.monotonic() + 60
    while database.ask(others):
        assert time.monotonic() < deadline
        time.sleep(0.05)
