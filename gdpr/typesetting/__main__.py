# SPDX-License-Identifier: AGPL-3.0-or-later
"""Reads an order from standard input, writes the PDF to standard output."""

from __future__ import annotations

import json
import os
import sys

from gdpr.typesetting.limits import bound

# Before anything is loaded: what is allocated until then would not count.
bound()

from gdpr.typesetting.setting import Order, Refused, set_type  # noqa: E402

REFUSED = 3


def main() -> int:
    order = Order.read(json.load(sys.stdin))
    try:
        sys.stdout.buffer.write(set_type(order))
    except Refused as refusal:
        # The reason is one of WeasyPrint's sentences without what it was filled with.
        sys.stderr.write(f"{refusal}\n")
        return REFUSED
    return 0


if __name__ == "__main__":
    status = main()
    sys.stdout.flush()
    # An orderly end unloads Pango while its own thread may still run, which then ends the process
    # by SIGSEGV, although the PDF is written. Nothing here needs an orderly end.
    os._exit(status)
