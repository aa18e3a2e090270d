# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Write the simulator's protobuf code from its ``ib.proto``; ``--check`` only tells whether it is up to date."""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parents[2]
SOURCES = ROOT / "images" / "gateway_simulator" / "src"
DEFINITION = "gateway_simulator/ib.proto"
GENERATED = ("gateway_simulator/ib_pb2.py", "gateway_simulator/ib_pb2.pyi")
HEADER = """\
# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Made of ib.proto by `make protobuf`; do not edit.
"""


def compile_definition(sources: Path = SOURCES) -> dict[str, str]:
    """Return the text of every generated file by its name. Raises CalledProcessError when protoc refuses the file."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "grpc_tools.protoc", f"-I{sources}"]
        command += [f"--python_out={folder}", f"--pyi_out={folder}", DEFINITION]
        subprocess.run(command, check=True)
        return {name: HEADER + (Path(folder) / name).read_text(encoding="utf-8") for name in GENERATED}


def main(arguments: Sequence[str] | None = None, sources: Path = SOURCES) -> int:
    """Write or check the generated files; the exit code is 1 when ``--check`` finds one out of date."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 when a file is out of date")
    check = parser.parse_args(arguments).check
    stale = []
    for name, text in compile_definition(sources).items():
        path = sources / name
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            stale.append(name)
            if not check:
                path.write_text(text, encoding="utf-8")
    for name in stale:
        print(f"{name}: out of date; run make protobuf" if check else f"{name}: written")
    return int(check and bool(stale))


if __name__ == "__main__":
    sys.exit(main())
