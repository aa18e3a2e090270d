#!/usr/bin/env bash
# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Make .venv hold exactly what requirements/controller.txt pins, then leave the stamp file named in $1.
# It is always built anew: half a minute longer than an upgrade, and never a mixture of two locks.

set -euo pipefail
stamp=$1
python=${PYTHON:-python3}

fail() { printf 'setup: %s\n' "$*" >&2; exit 1; }

command -v "$python" >/dev/null || fail "'$python' is not on PATH. Install Python 3.11 or newer, or name one: make setup PYTHON=/path/to/python3"
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    fail "$("$python" --version) is too old: ansible 12 needs 3.11 or newer. Name a newer one: make setup PYTHON=/path/to/python3"

# Debian ships venv apart from the interpreter: without ensurepip an environment has no pip.
if ! "$python" -c 'import ensurepip' 2>/dev/null; then
    if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
        fail "'$python' has no ensurepip. Install the package python3-venv (apt-get install python3-venv), then run make again."
    fi
    echo 'setup: installing the package python3-venv'
    export DEBIAN_FRONTEND=noninteractive
    output=$({ apt-get update && apt-get install --yes --no-install-recommends python3-venv; } 2>&1) ||
        fail "cannot install python3-venv:"$'\n'"$output"
fi

# Programs that the Python tests of backups run, as a trading host does.
missing=$(for program in age sqlite3 zstd; do command -v "$program" >/dev/null || printf '%s ' "$program"; done)
if [ -n "$missing" ]; then
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        echo "setup: installing $missing"
        export DEBIAN_FRONTEND=noninteractive
        # shellcheck disable=SC2086 # one word for each package
        output=$({ apt-get update && apt-get install --yes --no-install-recommends $missing; } 2>&1) ||
            fail "cannot install $missing:"$'\n'"$output"
    else
        echo "setup: $missing not installed; the tests of backups need them (apt-get install $missing)"
    fi
fi

echo 'setup: installing the locked tools into .venv (about a minute)'
"$python" -m venv --clear .venv
# -qq keeps errors and drops warnings about the machine's pip configuration.
.venv/bin/pip install -qq --disable-pip-version-check --no-deps --no-compile --require-hashes -r requirements/controller.txt
# Half a second less at every start, also where PYTHONDONTWRITEBYTECODE is set. Of the 90 collections hardly any is used.
.venv/bin/python -m compileall -qq -j 0 -x /ansible_collections/ .venv/lib || true # what does not compile is a template
touch "$stamp"
