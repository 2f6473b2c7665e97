# SPDX-License-Identifier: AGPL-3.0-or-later
"""Lines and contents out of octets that arrive in any pieces."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.smtp.intake import Beginning, Content, Inbox, LineMalformed, LineTooLong

PIECES = st.lists(
    st.sampled_from([b"\r", b"\n", b"\r\n", b".", b"..", b"a", b"\0", b"\r\n.", b"\r\n..\r\n"]),
    max_size=14,
).map(b"".join)


def collect(octets: bytes, cuts: list[int], limit: int = 10_000) -> tuple[Content, bytes | None]:
    """Feed `octets` cut at `cuts`."""
    content, rest = Content(limit), None
    edges = [0, *sorted(cut for cut in cuts if cut < len(octets)), len(octets)]
    for start, end in zip(edges, edges[1:], strict=False):
        rest = content.feed(octets[start:end])
        if rest is not None:
            return content, rest + octets[end:]
    return content, rest


def expected(octets: bytes) -> tuple[bytes, bytes] | None:
    """What RFC 5321 §4.5.2 says, line by line: the slow and obvious way."""
    lines = octets.split(b"\r\n")
    message: list[bytes] = []
    for number, line in enumerate(lines[:-1]):
        if line == b".":
            return b"".join(message), b"\r\n".join(lines[number + 1 :])
        message.append((line[1:] if line.startswith(b".") else line) + b"\r\n")
    return None


@given(PIECES, st.lists(st.integers(0, 60), max_size=8))
def test_content_is_the_same_however_it_is_cut(octets, cuts):
    content, rest = collect(octets, cuts)
    wanted = expected(octets)
    if wanted is None:
        assert rest is None
    else:
        assert (content.take(), rest) == wanted


@pytest.mark.parametrize("first", [b"\r\n", b"\n", b"\r", b"\r\n\0", b""])
@pytest.mark.parametrize("last", [b"\r\n", b"\n", b"\r", b"\0\r\n", b" \r\n"])
@pytest.mark.parametrize("piece", [1, 2, 3, 100])
def test_nothing_but_crlf_dot_crlf_ends_a_content(first, last, piece):
    octets = b"text" + first + b"." + last + b"more"
    content, rest = collect(octets, list(range(0, len(octets), piece)))
    assert (rest is not None) is ((first, last) == (b"\r\n", b"\r\n"))


@given(PIECES, st.integers(0, 8))
def test_stuffed_message_comes_back(text, size):
    message = (b"\r\n".join(text.split(b"\n")) * size).replace(b"\r\r", b"\r") + b"\r\n"
    stuffed = (b"\r\n" + message).replace(b"\r\n.", b"\r\n..")[2:]
    content, rest = collect(stuffed + b".\r\n", [7, 8, 9])
    assert (content.take(), rest) == (message, b"")


@pytest.mark.parametrize("size", [0, 1, 99, 100, 101, 140, 5_000])
def test_only_what_is_within_the_limit_is_kept(size):
    message = b"a" * max(0, size - 2) + b"\r\n" if size > 1 else b""
    content, rest = collect(message + b".\r\nQUIT\r\n", list(range(0, size, 7)), limit=100)
    assert rest == b"QUIT\r\n"
    assert content.take() == (message if len(message) <= 100 else None)


def test_transparency_dots_do_not_count():
    message = b"..\r\n" * 33
    content, _ = collect(message + b".\r\n", [], limit=99)
    assert content.take() == b".\r\n" * 33


def test_oversize_content_holds_almost_nothing():
    content = Content(100)
    for _ in range(1_000):
        content.feed(b"a" * 1_000)
    assert content.held < 200
    assert content.feed(b"\r\n.\r\n") == b""


@given(st.lists(st.integers(0, 20), max_size=6))
def test_lines_are_the_same_however_they_are_cut(cuts):
    octets, inbox, lines = b"EHLO a\r\nNOOP\r\n\r\nQUIT\r\n", Inbox(), []
    edges = [0, *sorted(cuts), len(octets)]
    for start, end in zip(edges, edges[1:], strict=False):
        inbox.feed(octets[start:end])
        while (line := inbox.line(100)) is not None:
            lines.append(line)
    assert lines == [b"EHLO a", b"NOOP", b"", b"QUIT"]


@pytest.mark.parametrize("octets", [b"NOOP\n", b"NO\rOP\r\n", b"NOOP\r\r\n", b"NO\0OP\r\n", b"\n"])
def test_malformed_line_is_dropped(octets):
    inbox = Inbox()
    inbox.feed(octets + b"QUIT\r\n")
    with pytest.raises(LineMalformed):
        inbox.line(100)
    assert inbox.line(100) == b"QUIT"


@pytest.mark.parametrize("piece", [1, 50, 1_000, 100_000])
def test_overlong_line_is_dropped_once(piece):
    inbox, refusals, lines = Inbox(), 0, []
    octets = b"a" * 10_000 + b"\r\nQUIT\r\n"
    for start in range(0, len(octets), piece):
        inbox.feed(octets[start : start + piece])
        assert len(inbox) <= max(piece + 100, 101)
        try:
            while (line := inbox.line(100)) is not None:
                lines.append(line)
        except LineTooLong:
            refusals += 1
    while (line := inbox.line(100)) is not None:
        lines.append(line)
    assert (refusals, lines) == (1, [b"QUIT"])


@given(st.text("ab", max_size=300), st.lists(st.integers(0, 400), max_size=12), st.integers(1, 80))
def test_beginning_is_the_same_however_it_is_cut(text, cuts, kept):
    message = text.encode() + b"\r\n"
    content, wire = Beginning(1_000, kept), message + b".\r\n"
    edges = [0, *sorted(cut for cut in cuts if cut < len(wire)), len(wire)]
    for start, end in zip(edges, edges[1:], strict=False):
        rest = content.feed(wire[start:end])
    assert rest == b""
    assert content.take() == message[:kept]


def test_beginning_of_what_is_too_large_is_none():
    content = Beginning(100, 10)
    assert content.feed(b"x" * 99 + b"\r\n.\r\n") == b""
    assert content.take() is None


@pytest.mark.behaviour(3)
@pytest.mark.parametrize("cut", [1, 4, 50])
@pytest.mark.parametrize("octets", [99, 100, 101])
@pytest.mark.parametrize("kept", [10, 100])
def test_what_comes_with_the_end_and_behind_it_does_not_count(kept, octets, cut):
    message = b"x" * (octets - 2) + b"\r\n"
    wire, behind = message + b".\r\n", b"MAIL FROM:<>\r\n" * 20
    content = Beginning(100, kept) if kept < 100 else Content(100)
    assert content.feed(wire[:-cut]) is None
    assert content.feed(wire[-cut:] + behind) == behind
    assert content.received == len(wire)
    assert content.take() == (message[:kept] if octets <= 100 else None)


def test_beginning_that_was_dropped_is_none():
    content = Beginning(100, 10)
    assert content.feed(b"x" * 50) is None
    assert content.held > 0
    content.drop()
    assert content.held == 4
    assert content.feed(b"\r\n.\r\n") == b""
    assert content.take() is None
