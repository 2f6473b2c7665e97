# SPDX-License-Identifier: AGPL-3.0-or-later
"""A letter that is hard to keep, and what a directory keeps."""

from __future__ import annotations

import json
from pathlib import Path

from relay.mailbox.maildir import Letter

CONTENT = b"Subject: x\r\n\r\n.\r\n..\r\n.x\r\nslut \xff\r\n"
LETTER = Letter("hej@kunde.example", ("erik@modtager.example", "ea@modtager.example"), CONTENT)


def kept(directory: Path) -> list[tuple[dict[str, object], bytes]]:
    found = []
    for path in sorted((directory / "new").iterdir()):
        if path.suffix != ".json":
            envelope = json.loads(path.with_name(f"{path.name}.envelope.json").read_text())
            found.append((envelope, path.read_bytes()))
    return found


ENVELOPE = {
    "X-Envelope-From": "hej@kunde.example",
    "X-Envelope-To": ["erik@modtager.example", "ea@modtager.example"],
}
