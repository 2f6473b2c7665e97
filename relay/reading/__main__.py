# SPDX-License-Identifier: AGPL-3.0-or-later
"""Reads one content after the other from standard input, and writes what each one reports."""

from __future__ import annotations

import sys

from accounts.bounded import allow_seconds, bound

MEBIBYTES = 512
SECONDS = 5  # of computing, for each content

# Before anything is loaded: what is allocated until then would not count.
bound(mebibytes=MEBIBYTES)

from relay.reading import frames  # noqa: E402
from relay.smtp import reports  # noqa: E402
from relay.smtp.reports import Reported  # noqa: E402


def main() -> None:
    while (order := frames.taken(sys.stdin.buffer)) is not None:
        allow_seconds(SECONDS)
        sys.stdout.buffer.write(frames.framed(frames.answer(_read(order))))
        sys.stdout.buffer.flush()


def _read(order: bytes) -> tuple[Reported, ...] | None:
    try:
        return reports.read(order[1:], has_sender=bool(order[0]))
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001 - whatever a hostile content brings a parser to
        return None


if __name__ == "__main__":
    main()
