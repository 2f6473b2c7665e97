# SPDX-License-Identifier: AGPL-3.0-or-later
from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest

from tests.testbed.proxy import PLAIN, Course, Proxy, Then, Way
from tests.testbed.smtp import FarEnd

OCTETS = bytes(range(256)) * 40
SHORT = 0.2  # how long nothing has to come to count as silence


class Echo:
    """Answers with what it gets; `got` is all of that, `ended` how often a connection ended."""

    def __init__(self) -> None:
        self.got = bytearray()
        self.ended: asyncio.Queue[bool] = asyncio.Queue()  # whether by a reset

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        was_reset = False
        try:
            while octets := await reader.read(1000):
                self.got += octets
                writer.write(octets)
                await writer.drain()
        except ConnectionError:
            was_reset = True
        self.ended.put_nowait(was_reset)
        writer.close()


@asynccontextmanager
async def through(course: Course) -> AsyncIterator[tuple[Echo, Proxy]]:
    echo = Echo()
    server = await asyncio.start_server(echo.serve, "127.0.0.1", 0)
    async with server, Proxy(server.sockets[0].getsockname()[1], course) as proxy:
        yield echo, proxy


@asynccontextmanager
async def connect(
    proxy: Proxy,
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()
        with suppress(OSError):
            await writer.wait_closed()


async def is_silent(reader: asyncio.StreamReader, most: int = 0) -> bool:
    """Whether neither an octet beyond `most` nor the end comes."""
    try:
        async with asyncio.timeout(SHORT):
            await reader.readexactly(most + 1)
    except TimeoutError:
        return True
    return False


def test_everything_passes_both_ways_and_so_does_the_end():
    async def run() -> None:
        async with through(PLAIN) as (echo, proxy), connect(proxy) as (reader, writer):
            writer.write(OCTETS)
            writer.write_eof()
            assert await reader.read() == OCTETS
            assert bytes(echo.got) == OCTETS
            assert proxy.connections == 1

    asyncio.run(run())


@pytest.mark.parametrize("then", [Then.CLOSE, Then.RESET])
def test_cut_after_so_many_octets(then: Then):
    async def run() -> None:
        course = Course(after=300, then=then)
        async with through(course) as (echo, proxy), connect(proxy) as (reader, writer):
            writer.write(OCTETS)
            # An orderly end becomes a reset too when octets are still on their way.
            with suppress(ConnectionResetError):
                assert OCTETS[:300].startswith(await reader.read())
            await echo.ended.get()
            assert OCTETS[:300].startswith(bytes(echo.got))
            assert then is Then.RESET or len(echo.got) == 300

    asyncio.run(run())


def test_answers_are_counted_as_well():
    async def run() -> None:
        course = Course(after=7, way=Way.DOWN)
        async with through(course) as (echo, proxy), connect(proxy) as (reader, writer):
            writer.write(b"0123456789")
            assert await reader.read() == b"0123456"
            assert bytes(echo.got) == b"0123456789"

    asyncio.run(run())


@pytest.mark.parametrize("then", [Then.STALL, Then.HALF_OPEN])
def test_nobody_or_only_the_server_is_told(then: Then):
    async def run() -> None:
        course = Course(after=4, then=then)
        async with through(course) as (echo, proxy), connect(proxy) as (reader, writer):
            writer.write(b"0123456789")
            if then is Then.HALF_OPEN:
                await echo.ended.get()
            # What was answered before may still come, but never the end.
            assert await is_silent(reader, 4)
            writer.write(b"more")
            await writer.drain()
            assert bytes(echo.got) == b"0123"
            assert echo.ended.empty()

    asyncio.run(run())


def test_slow_connection_takes_its_time():
    async def run() -> float:
        course = Course(octets_per_second=1000)
        async with through(course) as (_, proxy), connect(proxy) as (reader, writer):
            began = time.monotonic()
            writer.write(b"x" * 150)
            await reader.readexactly(150)
            return time.monotonic() - began

    assert asyncio.run(run()) >= 0.3  # there and back


COMMANDS = b"EHLO a.example\r\nMAIL FROM:<a@a.example>\r\nRCPT TO:<b@b.example>\r\nDATA\r\n"


def test_after_the_dot_the_server_has_the_message_and_nobody_hears_of_it():
    async def run() -> None:
        course = Course(after_dot=True)
        async with (
            FarEnd() as far_end,
            Proxy(far_end.port, course) as proxy,
            connect(proxy) as (reader, writer),
        ):
            writer.write(COMMANDS)
            await reader.readuntil(b"354 end with a dot\r\n")
            # The dot is found across chunks.
            writer.write(b"Subject: x\r\n\r\nhej\r\n.")
            assert await is_silent(reader)
            writer.write(b"\r\nQUIT\r\n")
            with suppress(ConnectionResetError):
                assert await reader.read() == b""
            while not far_end.ledger:
                await asyncio.sleep(0.01)
            assert far_end.ledger[0].content == b"Subject: x\r\n\r\nhej\r\n"
            assert "QUIT" not in far_end.commands

    asyncio.run(run())


def test_each_connection_has_a_course_of_its_own():
    async def run() -> None:
        async with through(PLAIN) as (echo, proxy):
            proxy.course = lambda number: Course(after=1) if number else PLAIN
            async with connect(proxy) as (reader, first), connect(proxy) as (_, second):
                first.write(b"ab")
                assert await reader.readexactly(2) == b"ab"
                second.write(b"cd")
                await echo.ended.get()
                assert bytes(echo.got) == b"abc"

    asyncio.run(run())


def test_all_can_be_held_and_broken_off():
    async def run() -> None:
        async with through(PLAIN) as (echo, proxy), connect(proxy) as (reader, writer):
            writer.write(b"a")
            assert await reader.readexactly(1) == b"a"
            proxy.hold()
            writer.write(b"b")
            assert await is_silent(reader)
            assert bytes(echo.got) == b"a"
            proxy.let_go()
            assert await reader.readexactly(1) == b"b"
            proxy.break_off()
            with pytest.raises(ConnectionResetError):
                await reader.read()

    asyncio.run(run())
