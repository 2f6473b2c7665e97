# SPDX-License-Identifier: AGPL-3.0-or-later
"""What an attack does to others: an honest client's time to 250, and the server's memory."""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.relay.process import Process
from tests.relay.smtp.listening import HEADER, Raw
from tests.relay.submitting import plain

MIB = 1024 * 1024
PAUSE = 0.02
MESSAGE = HEADER + b"\r\nhej\r\n.\r\n"
ENVELOPE = b"MAIL FROM:<anna@firma.example>\r\nRCPT TO:<erik@other.example>\r\nDATA\r\n"


def signed_in(process: Process, source: str = "127.0.0.1", username: str = "anna") -> Raw:
    """A connection with STARTTLS and AUTH."""
    raw = Raw(process.port, source=source)
    raw.socket.settimeout(60)
    assert raw.reply()[:3] == b"220"
    assert raw.code(b"EHLO honest.example") == 250
    assert raw.code(b"STARTTLS") == 220
    raw.secure(process.trusted)
    return raw.sign_in_again(plain(username))


def resident(process: Process) -> int:
    """Octets of memory that the server really has."""
    return _octets(process, "VmRSS:")


def forget_peak(process: Process) -> None:
    """Let `peak` begin anew; see proc(5), clear_refs."""
    Path(f"/proc/{process.process.pid}/clear_refs").write_text("5")


def peak(process: Process) -> int:
    """The most octets of memory that the server had, in between looks as well."""
    return _octets(process, "VmHWM:")


def _octets(process: Process, name: str) -> int:
    status = Path(f"/proc/{process.process.pid}/status").read_text()
    return 1024 * next(int(line.split()[1]) for line in status.splitlines() if name in line)


@dataclass
class Watch:
    """What was seen meanwhile; times in seconds, memory in octets."""

    before: int
    most: int = 0
    times: list[float] = field(default_factory=list)
    replies: list[bytes] = field(default_factory=list)

    def all_the_while(self, enough: int) -> Iterator[None]:
        """Again and again until there are enough times to judge by."""
        while len(self.times) < enough:
            yield

    @property
    def growth(self) -> float:
        """MiB above what the server had before."""
        return (self.most - self.before) / MIB

    @property
    def p95(self) -> float:
        """Seconds from MAIL to 250."""
        return statistics.quantiles(self.times, n=20, method="inclusive")[-1]


def send(raw: Raw) -> tuple[float, bytes]:
    """One message; how long it took, and the last reply."""
    began = time.monotonic()
    raw.send(ENVELOPE)
    for code in (b"250", b"250", b"354"):
        assert raw.reply()[:3] == code
    raw.send(MESSAGE)
    return time.monotonic() - began, raw.reply()


@contextmanager
def beside(process: Process) -> Iterator[Watch]:
    """An honest client sends one message after the other while the block runs."""
    with signed_in(process) as raw:
        for _ in range(10):
            send(raw)
        forget_peak(process)
        watch = Watch(resident(process))
        over = threading.Event()
        thread = threading.Thread(target=_go_on, args=(raw, watch, over))
        thread.start()
        try:
            yield watch
        finally:
            over.set()
            thread.join(60)
            watch.most = peak(process)


def _go_on(raw: Raw, watch: Watch, over: threading.Event) -> None:
    while not over.wait(PAUSE):
        spent, reply = send(raw)
        watch.times.append(spent)
        watch.replies.append(reply)
