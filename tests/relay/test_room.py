# SPDX-License-Identifier: AGPL-3.0-or-later
from __future__ import annotations

import asyncio
from uuid import UUID, uuid4

from relay.room import Room
from tests.relay import mail

MINE, YOURS = uuid4(), uuid4()


def test_room_is_bounded_in_all_and_for_each_organisation() -> None:
    inside: list[tuple[UUID, int]] = []

    async def scenario() -> None:
        room = Room(most=10, of_one=6)
        doors: dict[tuple[UUID, int], asyncio.Event] = {}

        async def visit(whose: UUID, octets: int) -> None:
            async with room.hold(whose, octets):
                inside.append((whose, octets))
                doors[whose, octets] = asyncio.Event()
                await doors[whose, octets].wait()
            inside.remove((whose, octets))

        async def come(whose: UUID, octets: int) -> bool:
            tasks.append(asyncio.create_task(visit(whose, octets)))
            await asyncio.sleep(0.01)
            return (whose, octets) in inside

        tasks: list[asyncio.Task[None]] = []
        assert await come(MINE, 5)
        assert not await come(MINE, 2)  # seven of mine
        assert await come(YOURS, 4)
        assert not await come(YOURS, 2)  # eleven in all
        tasks[1].cancel()
        doors[MINE, 5].set()
        await asyncio.sleep(0.01)
        assert (YOURS, 2) in inside
        for door in doors.values():
            door.set()
        await asyncio.gather(*tasks, return_exceptions=True)
        # More than there ever is room for goes alone.
        assert await come(MINE, 100)
        assert not await come(YOURS, 1)
        doors[MINE, 100].set()
        await asyncio.sleep(0.01)
        assert inside == [(YOURS, 1)]
        doors[YOURS, 1].set()
        await asyncio.gather(*tasks, return_exceptions=True)

    mail.run(scenario())
    assert inside == []
