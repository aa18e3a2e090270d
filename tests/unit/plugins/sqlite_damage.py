# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Damage that happens to databases and their backups, on the sample ledger: for the tests and for the bench."""

from __future__ import annotations

import gzip
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

from tests.unit.plugins.sqlite_samples import connected, make_ledger

PAGE = 4096
Damage = Callable[[Path], object]


def write_at(path: Path, offset: int, data: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(data)


def page_with(path: Path, text: bytes, kind: int | None = None) -> int:
    """The offset of the first page that holds a text; `kind` is its first byte: 13 a table leaf, 10 an index leaf."""
    data = path.read_bytes()
    for offset in range(0, len(data), PAGE):
        page = data[offset : offset + PAGE]
        if text in page and (kind is None or page[0] == kind):
            return offset
    raise AssertionError(f"no page of kind {kind} holds {text!r}")


def overflow_pages(path: Path) -> list[int]:
    """Offsets of overflow pages that hold nothing but a note: they begin with the number of the next one."""
    data = path.read_bytes()
    pages = [data[offset : offset + PAGE] for offset in range(0, len(data), PAGE)]
    return [number * PAGE for number, page in enumerate(pages) if page.count(b"note-") > 300 and page[3] > 0]


def zero_page(text: bytes, kind: int) -> Damage:
    return lambda path: write_at(path, page_with(path, text, kind), bytes(PAGE))


def zero_overflow_page(path: Path) -> None:
    offset = overflow_pages(path)[0]
    write_at(path, offset + 4, bytes(PAGE - 4))


def swap_pages(path: Path, one: int, other: int, skip: int = 0) -> None:
    data = path.read_bytes()
    write_at(path, one + skip, data[other + skip : other + PAGE])
    write_at(path, other + skip, data[one + skip : one + PAGE])


def swap_leaf_pages(path: Path) -> None:
    swap_pages(path, page_with(path, b"reference-000003", 13), page_with(path, b"reference-000333", 13))


def swap_overflow_payloads(path: Path) -> None:
    pages = overflow_pages(path)
    swap_pages(path, pages[0], pages[-1], skip=4)


def flip_text(text: bytes, kind: int) -> Damage:
    def damage(path: Path) -> None:
        offset = page_with(path, text, kind)
        position = path.read_bytes().index(text, offset) + len(text) - 1
        write_at(path, position, bytes([text[-1] ^ 1]))

    return damage


def flip_price(path: Path) -> None:
    """The last bit of a REAL, found as the eight bytes that follow the text before it in the row."""
    text = b"reference-000012"
    position = path.read_bytes().index(text, page_with(path, text, 13)) + len(text)
    write_at(path, position + 7, bytes([path.read_bytes()[position + 7] ^ 1]))


def sql(*statements: str, checks: bool = True) -> Damage:
    """Damage that SQLite itself does, as a wrong program would."""

    def damage(path: Path) -> None:
        with connected(path) as connection:
            if not checks:
                connection.execute("PRAGMA ignore_check_constraints=1")
            for statement in statements:
                connection.execute(statement)

    return damage


def truncate(share: float = 1.0, less: int = 0) -> Damage:
    return lambda path: path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share) - less])


def wal_of_another(path: Path) -> None:
    """A -wal that belongs to another database, as a restore that replaced only the main file leaves it."""
    other = make_ledger(path.with_name("other.db"), rows=50)
    connection = sqlite3.connect(other, isolation_level=None)
    connection.execute("UPDATE orders SET price = price + 1")
    shutil.copy(f"{other}-wal", f"{path}-wal")
    connection.close()


def replace_by_empty_database(path: Path) -> None:
    """What an interrupted copy leaves: quick_check says ok."""
    path.unlink()
    sql("PRAGMA user_version=3")(path)


def compress_in_place(path: Path) -> None:
    path.write_bytes(gzip.compress(path.read_bytes()))


def leave_rows_in_wal(path: Path) -> None:
    """What `cp` of a live database's main file gets: the last rows are missing."""
    work = path.with_name("live.db")
    shutil.copy(path, work)
    with connected(work) as connection:
        connection.execute("DELETE FROM fills WHERE id > 200")
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA wal_autocheckpoint=0")
        connection.execute("INSERT INTO fills (order_id, quantity) SELECT id, 1 FROM orders WHERE id > 200")
        shutil.copy(work, path)


def recover_from_wal(harm: Callable[[bytearray], object]) -> Damage:
    """The last rows were in a WAL that was harmed before SQLite read it: it stops there, and says nothing."""

    def damage(path: Path) -> None:
        work = path.with_name("live.db")
        shutil.copy(path, work)
        with connected(work) as connection:
            connection.execute("DELETE FROM fills WHERE id > 200")
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA wal_autocheckpoint=0")
            for number in range(201, 401):
                connection.execute("INSERT INTO fills VALUES (?, ?, 1)", (number, number))
            shutil.copy(work, path)
            log = bytearray(Path(f"{work}-wal").read_bytes())
        harm(log)
        Path(f"{path}-wal").write_bytes(log)
        sql("PRAGMA journal_mode=DELETE")(path)

    return damage


def flip_at(log: bytearray, position: int) -> None:
    log[position] ^= 1


DAMAGE: list[tuple[str, Damage, set[str]]] = [
    ("missing file", lambda path: path.unlink(), {"file"}),
    ("zero-length file", lambda path: path.write_bytes(b""), {"file"}),
    ("empty database", replace_by_empty_database, {"tables", "min_rows", "freshness"}),
    ("error page saved as a database", lambda path: path.write_text("<html>404</html>" * 999), {"header", "opens"}),
    ("compressed data without extension", compress_in_place, {"header", "opens"}),
    ("header cut", lambda path: path.write_bytes(path.read_bytes()[:50]), {"header", "opens"}),
    ("truncated by a page", truncate(less=PAGE), {"header", "opens"}),
    ("truncated by a byte", truncate(less=1), {"header"}),
    ("truncated to half", truncate(share=0.5), {"header", "opens"}),
    ("garbage appended", lambda path: path.write_bytes(path.read_bytes() + b"\xff" * PAGE), {"header"}),
    ("table leaf zeroed", zero_page(b"reference-000200", 13), {"integrity", "foreign_keys"}),
    ("index leaf zeroed", zero_page(b"reference-000200", 10), {"integrity"}),
    ("overflow page zeroed", zero_overflow_page, set()),
    ("table leaves swapped", swap_leaf_pages, {"integrity", "foreign_keys"}),
    ("overflow payloads swapped", swap_overflow_payloads, set()),
    ("bit flipped in a number", flip_price, set()),
    ("bit flipped in a text", flip_text(b"note-000123", 13), set()),
    ("bit flipped in an indexed text", flip_text(b"reference-000123", 13), {"integrity"}),
    ("older schema version", sql("PRAGMA user_version=2"), {"schema_version"}),
    ("missing table", sql("DROP TABLE fills"), {"tables", "min_rows"}),
    ("missing index", sql("DROP INDEX orders_at"), set()),
    ("orphan row", sql("INSERT INTO fills (order_id, quantity) VALUES (9999, 1)"), {"foreign_keys"}),
    ("CHECK violated", sql("UPDATE orders SET quantity=-5 WHERE id=7", checks=False), {"integrity"}),
    ("one row absent", sql("DELETE FROM fills WHERE id=7"), {"min_rows"}),
    ("last rows absent", sql("DELETE FROM fills WHERE id > 300"), {"min_rows"}),
    ("one row twice", sql("INSERT INTO fills SELECT NULL, order_id, quantity FROM fills WHERE id=7"), set()),
    ("price altered", sql("UPDATE orders SET price = price + 1 WHERE id=7"), set()),
    ("prices swapped", sql("UPDATE orders SET price = 215.5 - price WHERE id IN (7, 8)"), set()),
    ("text stored as a blob", sql("UPDATE orders SET note = CAST(note AS BLOB) WHERE id=7"), set()),
    ("all rows deleted", sql("DELETE FROM fills", "DELETE FROM orders"), {"min_rows", "freshness"}),
    ("stale", sql("DELETE FROM fills WHERE id=400", "DELETE FROM orders WHERE id=400"), {"min_rows", "freshness"}),
    ("newest row in the future", sql("UPDATE orders SET at='2026-11-24T20:45:00.000Z' WHERE id=7"), {"freshness"}),
    ("newest time is no time", sql("UPDATE orders SET at='yesterday' WHERE id=7"), {"freshness"}),
    ("rows left in the WAL", leave_rows_in_wal, {"min_rows"}),
    ("WAL cut in half", recover_from_wal(lambda log: log.__delitem__(slice(len(log) // 2, None))), {"min_rows"}),
    ("bit flipped in the middle of the WAL", recover_from_wal(lambda log: flip_at(log, len(log) // 2)), {"min_rows"}),
    ("bit flipped in the WAL's first header", recover_from_wal(lambda log: flip_at(log, 40)), {"min_rows"}),
    ("WAL of another database beside it", wal_of_another, {"sidecars"}),
    ("empty journal beside it", lambda path: path.with_name(f"{path.name}-journal").touch(), {"sidecars"}),
]  # fmt: skip
