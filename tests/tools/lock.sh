#!/usr/bin/env bash
# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Pin requirements/controller.in, with hashes, into requirements/controller.txt. No index is named in the result: it holds for any mirror.

set -euo pipefail
cd requirements
pip-compile --quiet --upgrade --allow-unsafe --generate-hashes --strip-extras --no-header \
    --no-emit-find-links --no-emit-index-url --no-emit-trusted-host --output-file=controller.lock controller.in
{ sed -n '1,3p' controller.in; echo '#'; echo '# Pinned from controller.in by: make lock'; echo; cat controller.lock; } > controller.txt
rm controller.lock
