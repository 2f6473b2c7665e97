# SPDX-License-Identifier: AGPL-3.0-or-later
"""What the documents name as proof is there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from django.conf import settings

ROOT = Path(settings.BASE_DIR)
# A file or a directory of ours by its path from the root, in a link or between back-quotes.
NAMED = re.compile(r"[`(](?:\.\./)?((?:tests|docs|config)/[\w./-]+?)/?[`)]")


def named() -> Iterator[tuple[str, str]]:
    for document in (*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")):
        for path in NAMED.findall(document.read_text()):
            yield str(document.relative_to(ROOT)), path


def test_what_documents_name_is_there() -> None:
    found = list(named())
    assert ("docs/peers.md", "tests/relay/test_senders.py") in found
    # A decision is also named by its number alone.
    assert [one for one in found if not any(ROOT.glob(f"{one[1]}*"))] == []


def test_peers_have_a_cell_in_each_row() -> None:
    rows = [line for line in (ROOT / "docs/peers.md").read_text().splitlines() if line[:1] == "|"]
    assert len(rows) > 40
    assert {row.count("|") for row in rows} == {rows[0].count("|")}
