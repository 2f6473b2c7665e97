# SPDX-License-Identifier: AGPL-3.0-or-later
"""Ends of lines that are none, and dots that end nothing: what may pass, and what may not."""

from __future__ import annotations

import itertools
import re
import time

from tests.relay.smtp.listening import Raw

FALSE_ENDS = {
    "LF.LF": b"\n.\n",
    "CR.CR": b"\r.\r",
    "LF.CRLF": b"\n.\r\n",
    "CRLF.LF": b"\r\n.\n",
    "CR.CRLF": b"\r.\r\n",
    "CRLF.CR": b"\r\n.\r",
    "LF.CR": b"\n.\r",
    "CR.LF": b"\r.\n",
    "CRLF NUL.CRLF": b"\r\n\0.\r\n",
    "CRLF.NUL CRLF": b"\r\n.\0\r\n",
}
REFUSED = {
    **FALSE_ENDS,
    **{f"{name} doubled": end.replace(b".", b"..") for name, end in FALSE_ENDS.items()},
}
# What a false end would begin, were it taken for one.
SMUGGLED = (
    b"MAIL FROM:<boss@firma.example>\r\nRCPT TO:<victim@other.example>\r\nDATA\r\n"
    b"From: boss@firma.example\r\nSubject: smuggled\r\n\r\nsmuggled\r\n"
)
# Lines as they are sent, and as they are meant (RFC 5321 §4.5.2).
STUFFED = (
    (b"\r\n", b"\r\n"),
    (b"..\r\n", b".\r\n"),
    (b"...\r\n", b"..\r\n"),
    (b".. \r\n", b". \r\n"),
    (b"..a\r\n..\r\n..\r\n", b".a\r\n.\r\n.\r\n"),
    (b".a\r\n", b"a\r\n"),
    (b"a.\r\n", b"a.\r\n"),
)
BARE = re.compile(rb"\r(?!\n)|(?<!\r)\n|\0")
NEAR = 8  # octets: more than any end has
CUTS = ("whole", "octets", "split in the end")


def send(client: Raw, message: bytes, middle: int, cut: str) -> None:
    """Send a message in pieces: the octets about `middle` and its end apart, or cut in both."""
    size = len(message)
    places = {
        "whole": [0, size],
        "octets": [0, *range(middle - NEAR, middle + NEAR), *range(size - NEAR, size + 1)],
        "split in the end": [0, middle, size - 3, size],
    }[cut]
    # Short messages end where their middle is.
    ordered = sorted({place for place in places if 0 <= place <= size})
    for start, stop in itertools.pairwise(ordered):
        client.send(message[start:stop])
        # Without a pause the server would read the pieces as one.
        time.sleep(0.02 if cut == "split in the end" else 0)
