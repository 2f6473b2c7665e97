# SPDX-License-Identifier: AGPL-3.0-or-later
"""Reads a package from standard input, writes what is in it, or its fault, to standard output."""

from __future__ import annotations

import json
import sys

from accounts.bounded import bound

SECONDS, MEBIBYTES = 10, 256
# Before anything is loaded: what is allocated until then would not count.
bound(seconds=SECONDS, mebibytes=MEBIBYTES)

from gdpr.importing.unpacking import Unfit, unpack  # noqa: E402


def main() -> None:
    try:
        found = unpack(sys.stdin.buffer.read())
    except Unfit as unfit:
        found = {"fault": unfit.fault.value}
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main()
