# SPDX-License-Identifier: AGPL-3.0-or-later
"""A child that does what it is told by what it reads, mostly what no child should do."""

from __future__ import annotations

import os
import sys
import time

from accounts.bounded import allow_seconds, bound
from relay.reading import frames
from relay.smtp.reports import Action, Reported


def answer(word: str) -> bytes:
    if word == "stand":
        time.sleep(600)
    if word == "compute":
        allow_seconds(0)
        while True:
            pass
    if word == "hoard":
        bytearray(512 * 1024 * 1024)
    if word == "babble":
        return b'[{"action": "failed"}]'
    if word == "leave":
        sys.exit()
    told = " ".join(sorted(os.environ)) if word == "tell" else str(os.getpid())
    return frames.answer([Reported(action=Action.FAILED, text=told)])


if __name__ == "__main__":
    bound(mebibytes=512)
    while (order := frames.taken(sys.stdin.buffer)) is not None:
        sys.stdout.buffer.write(frames.framed(answer(order[1:].decode())))
        sys.stdout.buffer.flush()
