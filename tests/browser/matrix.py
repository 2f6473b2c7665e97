# SPDX-License-Identifier: AGPL-3.0-or-later
"""Which looks of a test run every time, and which wait for the full matrix."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from itertools import product
from zlib import crc32

import pytest

from tests.browser.window import Look

EVERY_LOOK = [
    pytest.param(Look(*parts), id="-".join(parts))
    for parts in product(("da", "en"), ("desktop", "phone"), ("light", "dark"))
]


def leave_to_full(items: Iterable[pytest.Item]) -> None:
    """Mark all looks of a test but one, which its name picks, as part of the full matrix.

    A look that a test itself leaves to the full matrix is none that can be picked.
    """
    by_name: dict[str, list[pytest.Item]] = defaultdict(list)
    # Tests come in a random order.
    for item in sorted(items, key=lambda item: item.nodeid):
        given = item.callspec.params if hasattr(item, "callspec") else {}
        if "look" in given and not item.get_closest_marker("full"):
            by_name[item.nodeid.replace(str(given["look"]), "")].append(item)
    for name, same in by_name.items():
        del same[crc32(name.encode()) % len(same)]
        for item in same:
            item.add_marker(pytest.mark.full)
