# SPDX-License-Identifier: AGPL-3.0-or-later
"""Reads an order from standard input, writes the findings to standard output."""

from __future__ import annotations

import json
import sys

from gdpr.typesetting.limits import bound

# Before anything is loaded: what is allocated until then would not count.
bound()

from gdpr.verifying.reading import Order, examine  # noqa: E402


def main() -> None:
    order = Order.read(json.load(sys.stdin))
    json.dump(examine(order).facts(), sys.stdout)


if __name__ == "__main__":
    main()
