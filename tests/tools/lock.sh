#!/usr/bin/env bash
# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Pin every .in file of requirements, with hashes, into a .txt file. No index is named in the result: it holds for any mirror.

set -euo pipefail
for input in requirements/controller.in tests/clients/requirements/*.in; do
    name=$(basename "$input" .in)
    (
        cd "$(dirname "$input")"
        pip-compile --quiet --upgrade --allow-unsafe --generate-hashes --strip-extras --no-header \
            --no-emit-find-links --no-emit-index-url --no-emit-trusted-host --output-file="$name.lock" "$name.in"
        { sed -n '1,3p' "$name.in"; echo '#'; echo "# Pinned from $name.in by: make lock"; echo; cat "$name.lock"; } > "$name.txt"
        rm "$name.lock"
    )
done
