# SPDX-License-Identifier: AGPL-3.0-or-later
"""Octets to command lines and to one content: only CRLF ends a line, only CRLF.CRLF ends DATA."""

from __future__ import annotations

END = b"\r\n.\r\n"


class LineTooLong(Exception):
    """A command line beyond the limit; its octets are gone, the next line can be read."""


class LineMalformed(Exception):
    """A command line with a bare LF, a bare CR or a NUL; it is gone, the next line can be read."""


class Inbox:
    """What has arrived and was not read yet."""

    __slots__ = ("_octets", "_overlong")

    def __init__(self) -> None:
        self._octets = bytearray()
        self._overlong = False

    def __len__(self) -> int:
        return len(self._octets)

    def feed(self, octets: bytes | bytearray) -> None:
        """Append what the network brought."""
        self._octets += octets

    def clear(self) -> None:
        """Forget everything unread (RFC 3207 §4.2)."""
        self._octets.clear()
        self._overlong = False

    def take(self) -> bytes:
        """Everything unread."""
        octets = bytes(self._octets)
        self._octets.clear()
        return octets

    def line(self, limit: int) -> bytes | None:
        """The next command line without its CRLF, None while it is incomplete.

        `limit` is in octets. Raises LineTooLong and LineMalformed.
        """
        # Looking for LF and then demanding CRLF: a client that ends lines with LF gets an answer
        # instead of a silence until the time limit.
        end = self._octets.find(b"\n")
        if end < 0:
            if len(self._octets) > limit:
                self._octets.clear()
                self._overlong = True
            return None
        line = bytes(self._octets[: end + 1])
        del self._octets[: end + 1]
        if self._overlong or len(line) > limit:
            self._overlong = False
            raise LineTooLong
        if not line.endswith(b"\r\n") or b"\r" in line[:-2] or b"\0" in line:
            raise LineMalformed
        return line[:-2]


class Content:
    """One DATA while it arrives; octets beyond the bound are read and dropped."""

    __slots__ = ("_octets", "_raw_limit", "dropped", "limit", "received")

    def __init__(self, limit: int) -> None:
        self.limit = limit  # octets of the message without transparency dots
        # A line "..CRLF" has four octets on the wire and three in the message: no ratio is worse.
        self._raw_limit = limit + limit // 3 + len(END)
        # The CRLF that ended the DATA command can be the first half of CRLF.CRLF.
        self._octets = bytearray(b"\r\n")
        self.received = 0
        self.dropped = False

    @property
    def held(self) -> int:
        """Octets in memory."""
        return len(self._octets)

    def feed(self, octets: bytes) -> bytes | None:
        """Take what arrived. None while the end is missing, else what follows the end."""
        self.received += len(octets)
        start = max(0, len(self._octets) - len(END) + 1)
        self._octets += octets
        end = self._octets.find(END, start)
        if end >= 0:
            rest = bytes(self._octets[end + len(END) :])
            # What a client sent behind it is none of the message (RFC 2920 §3.1).
            self.received -= len(rest)
            del self._octets[end + 2 :]
            return rest
        if self.dropped or len(self._octets) > self._raw_limit:
            self._overflow()
        return None

    def _overflow(self) -> None:
        self.drop()

    def drop(self) -> None:
        """Keep nothing but what is needed to see the end."""
        self.dropped = True
        del self._octets[: -len(END) + 1]

    def take(self) -> bytes | None:
        """The message, transparency dots removed (RFC 5321 §4.5.2); None if it was too large.

        Nothing is held afterwards: a copy here and one there would be twice the message.
        """
        if self.dropped:
            return None
        octets, self._octets = self._octets, bytearray()
        if b"\r\n." in octets:
            octets = octets.replace(b"\r\n.", b"\r\n")
        if len(octets) - 2 > self.limit:
            return None
        return bytes(memoryview(octets)[2:])


class Beginning(Content):
    """One DATA of which the first octets are kept, and all of it is counted."""

    __slots__ = ("_first", "_most")

    def __init__(self, limit: int, kept: int) -> None:
        super().__init__(kept)
        self._most = limit
        self._first = b""

    @property
    def held(self) -> int:
        """Octets in memory."""
        return len(self._octets) + len(self._first)

    def _overflow(self) -> None:
        if self.dropped:
            return self.drop()
        self._first = self._first or bytes(self._octets)
        # From here on each arrival overflows.
        self._raw_limit = len(END)
        del self._octets[: -len(END) + 1]
        return None

    def drop(self) -> None:
        """Keep nothing but what is needed to see the end."""
        self._first = b""
        super().drop()

    def take(self) -> bytes | None:
        """The first octets of the message; None if it was too large as a whole."""
        # The first CRLF of the end is the message's own.
        if self.dropped or self.received > self._most + len(END) - 2:
            return None
        octets = self._first or bytes(self._octets)
        self._first, self._octets = b"", bytearray()
        return octets.replace(b"\r\n.", b"\r\n")[2 : self.limit + 2]
