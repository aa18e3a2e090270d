# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which share of damage each level of `sqlite_verify` sees: `python -m tests.bench.corruption [--flips N]`.

Named damage as it happens (a copy cut short, a lost write, a WAL that was left behind, rows changed by SQL), then
single flipped bytes in every region of the file, at seeded places; and good copies, at which nothing may be said.
Exits with 1 when a verification with the manifest misses anything, or when a good copy is called bad.
"""

from __future__ import annotations

import argparse
import random
import shutil
import sys
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "collections")]

from ansible_collections.ballast.trading.plugins.module_utils.manifest import Backup  # noqa: E402
from ansible_collections.ballast.trading.plugins.module_utils.sqlite_snapshot import snapshot  # noqa: E402
from ansible_collections.ballast.trading.plugins.module_utils.sqlite_verify import verify  # noqa: E402
from tests.unit.plugins.sqlite_damage import DAMAGE, PAGE, sql  # noqa: E402
from tests.unit.plugins.sqlite_samples import make_ledger  # noqa: E402

SEED = 20261122
MANIFEST = {"manifest_file", "manifest_copy"}
CONTENT = {"manifest_content", "row_hash"}
LEVELS = ("quick", "standard", "row hashes", "quick, manifest", "deep, manifest")
_KINDS = {2: "index interior", 5: "table interior", 10: "index leaf", 13: "table leaf"}


def seen_by(path: Path, manifest: Path) -> set[str]:
    """The levels that call a file bad. The manifest is that of the file before it was damaged."""

    def failed(mode: str) -> set[str]:
        checks = verify(path, mode=mode, manifest=manifest).checks
        return {check.name for check in checks if check.status == "failed"}

    quick, deep = failed("quick"), failed("deep")
    found = {
        "quick": quick - MANIFEST - CONTENT,
        "standard": deep - MANIFEST - CONTENT,
        "row hashes": deep - MANIFEST,
        "quick, manifest": quick,
        "deep, manifest": deep,
    }
    return {level for level, checks in found.items() if checks}


def regions(data: bytes) -> dict[str, list[int]]:
    """What every byte of a database file is for, by https://sqlite.org/fileformat2.html: offsets by region."""
    found: dict[str, list[int]] = defaultdict(list)
    kind_of: dict[int, str] = {}
    trunk = int.from_bytes(data[32:36], "big")
    while trunk:
        page = data[(trunk - 1) * PAGE : trunk * PAGE]
        kind_of[trunk] = "freelist trunk"
        for entry in range(int.from_bytes(page[4:8], "big")):
            kind_of[int.from_bytes(page[8 + 4 * entry : 12 + 4 * entry], "big")] = "freelist leaf"
        trunk = int.from_bytes(page[:4], "big")
    for number in range(1, len(data) // PAGE + 1):
        start = (number - 1) * PAGE
        if number in kind_of:
            found[kind_of[number]] += range(start, start + PAGE)
        else:
            _page_regions(data, number, found)
    return found


def _page_regions(data: bytes, number: int, found: dict[str, list[int]]) -> None:
    start = (number - 1) * PAGE
    head = start + (100 if number == 1 else 0)
    kind = _KINDS.get(data[head])
    cells = int.from_bytes(data[head + 3 : head + 5], "big")
    size = 12 if data[head] in (2, 5) else 8
    pointers = head + size + 2 * cells
    content = start + (int.from_bytes(data[head + 5 : head + 7], "big") or 65536)
    if number == 1:
        found["file header"] += range(100)
    if kind is None or not pointers <= content <= start + PAGE:
        found["overflow next pointer"] += range(start, start + 4)
        found["overflow payload"] += range(start + 4, start + PAGE)
        return
    found["page header, cell pointers"] += range(head, pointers)
    found["gap"] += range(pointers, content)
    found[f"{kind} cells"] += range(content, start + PAGE)


def good_copies(original: Path, folder: Path) -> Iterator[tuple[str, Path]]:
    """Copies with the same content; only the first has the same bytes."""
    yield "copy", Path(shutil.copy(original, folder / "copy.db"))
    vacuumed = folder / "vacuumed.db"
    sql(f"VACUUM INTO '{vacuumed}'")(original)
    yield "VACUUM INTO", vacuumed
    wal = Path(shutil.copy(original, folder / "wal.db"))
    sql("PRAGMA journal_mode=WAL")(wal)
    yield "backup in WAL mode", wal


def measure(folder: Path, flips: int, say: Callable[[str], object] = print) -> int:
    """Prints the table and returns how much was missed or called bad wrongly."""
    ledger = make_ledger(folder / "ledger.db", rows=1500)
    sql("DELETE FROM orders WHERE id > 1450", "DELETE FROM fills WHERE order_id > 1450")(ledger)
    (folder / "backups").mkdir()
    large = snapshot(ledger, folder / "backups", compress=False)
    small = snapshot(make_ledger(folder / "small.db"), folder / "backups", compress=False)
    wrong = 0

    def row(name: str, total: int, seen: dict[str, int]) -> int:
        say(f"{name:<58}" + "".join(f"{100 * seen[level] / total:>15.1f} %" for level in LEVELS))
        return total - seen["deep, manifest"]

    say(f"{'damage seen':<58}" + "".join(f"{level:>17}" for level in LEVELS))
    seen: dict[str, int] = defaultdict(int)
    for name, damage, _checks in DAMAGE:
        victim = _fresh(small, folder)
        damage(victim)
        levels = seen_by(victim, small.manifest_path)
        for level in levels:
            seen[level] += 1
        if "deep, manifest" not in levels:
            say(f"missed: {name}")
    wrong += row(f"{len(DAMAGE)} named cases", len(DAMAGE), seen)
    chance = random.Random(SEED)  # noqa: S311 - repeatable on purpose
    data = large.path.read_bytes()
    for region, offsets in sorted(regions(data).items()):
        seen = defaultdict(int)
        for _flip in range(flips):
            victim = _fresh(large, folder)
            position = chance.choice(offsets)
            with victim.open("r+b") as file:
                file.seek(position)
                file.write(bytes([data[position] ^ chance.randrange(1, 256)]))
            for level in seen_by(victim, large.manifest_path):
                seen[level] += 1
        share = 100 * len(offsets) / len(data)
        wrong += row(f"{flips} flipped bytes in {region} ({share:.1f} %)", flips, seen)
    alarms = []
    for name, path in good_copies(large.path, folder):
        expected = set() if name == "copy" else {"quick, manifest", "deep, manifest"}  # by design: other bytes
        alarms += [f"{name}: {level}" for level in sorted(seen_by(path, large.manifest_path) - expected)]
    say(f"false alarms: {', '.join(alarms) or 'none'}")
    return wrong + len(alarms)


def _fresh(original: Backup, folder: Path) -> Path:
    """A new copy to damage, alone in its folder."""
    place = folder / "victim"
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    return Path(shutil.copy(original.path, place / "backup.db"))


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="corruption", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--flips", type=int, default=200, help="in each region (200)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        return 1 if measure(Path(folder), arguments.flips) else 0


if __name__ == "__main__":
    sys.exit(main())
