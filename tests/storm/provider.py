# SPDX-License-Identifier: AGPL-3.0-or-later
"""The third ledger of mail that leaves through a provider: its interface, as Postmark documents it.

What it takes lies in the far end's ledger, put together again from the pieces of the call.
"""

from __future__ import annotations

import asyncio
import base64
import json
import re
import time
from http import HTTPStatus
from typing import Any
from uuid import UUID

from tests.storm.farend import Arrival, FarEnd

NAME = "postmark"
KEY = "noegle-{}"  # of the route with this number
LENGTH = re.compile(rb"^Content-Length: (\d+)", re.IGNORECASE | re.MULTILINE)
TOKEN = re.compile(rb"^X-Postmark-Server-Token: noegle-(\d)\r", re.IGNORECASE | re.MULTILINE)
# What each kind of trouble is here: the first three say that nothing was taken.
STATUSES = {
    "rcpt": HTTPStatus.TOO_MANY_REQUESTS,
    "data": HTTPStatus.SERVICE_UNAVAILABLE,
    "421": HTTPStatus.REQUEST_TIMEOUT,
    "dot": HTTPStatus.INTERNAL_SERVER_ERROR,
}


class Calls:
    """One connection, and the calls on it one after the other."""

    def __init__(
        self,
        far_end: FarEnd,
        route: int,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self.far_end, self.reader, self.writer = far_end, reader, writer
        self.begun_at = 0.0

    async def run(self) -> None:
        try:
            while True:
                head = await self.reader.readuntil(b"\r\n\r\n")
                self._begin()
                length = LENGTH.search(head)
                body = await self.reader.readexactly(int(length[1]) if length else 0)
                self.writer.write(await self._answer(head, body))
                self._end()
                await self.writer.drain()
        except (OSError, EOFError):
            pass
        finally:
            self._end()
            self.writer.close()

    def _begin(self) -> None:
        self.begun_at = time.monotonic()
        self.far_end.open += 1

    def _end(self) -> None:
        self.far_end.open -= bool(self.begun_at)
        self.begun_at = 0.0

    async def _answer(self, head: bytes, body: bytes) -> bytes:
        token, told = TOKEN.search(head), json.loads(body)
        if token is None:
            return _reply(HTTPStatus.UNAUTHORIZED, {"ErrorCode": 10, "Message": "unknown token"})
        await self.far_end.linger()
        arrival = self._arrival(told, int(token[1]))
        turned = (self.far_end.turns_away(one, arrival.sender) for one in arrival.recipients)
        trouble = next(filter(None, turned), "")
        self.far_end.refusals += bool(trouble)
        if trouble in ("", "dot"):
            content = _content(arrival, told)
            await self.far_end.take(arrival, content, is_kept=not trouble)
        if trouble:
            return _reply(STATUSES[trouble], {"ErrorCode": 100, "Message": "come back later"})
        return _reply(HTTPStatus.OK, {"ErrorCode": 0, "Message": "OK", "MessageID": arrival.name})

    def _arrival(self, told: dict[str, Any], route: int) -> Arrival:
        fields = {one["Name"].lower(): one["Value"] for one in told.get("Headers", [])}
        token = told.get("Metadata", {}).get("brevdue", "")
        return Arrival(
            fields.get("message-id", "").strip("<>"),
            _named_by(token) if token else "",
            # A notice has no return path, and so no token.
            told["From"] if token else "",
            [one.strip().lower() for one in f"{told['To']},{told.get('Cc', '')}".split(",") if one],
            route,
            "",
            self.begun_at,
            self.far_end.now(),
            is_rebuilt=True,
        )


def _named_by(token: str) -> str:
    """The id of the message that a return path's token names (relay/returnpaths.py)."""
    return str(UUID(bytes=base64.b32decode(token[1:].upper() + "=")[1:17]))


def _content(arrival: Arrival, told: dict[str, Any]) -> bytes:
    """A message of the call's pieces: header, text, and what is attached."""
    lines = [f"Received: by provider.example id {arrival.queue_id}"] if arrival.queue_id else []
    lines += [f"Message-ID: <{arrival.mark}>", f"Subject: {told['Subject']}", "", ""]
    files = [base64.b64decode(one["Content"]) for one in told.get("Attachments", [])]
    text = told.get("TextBody", "").replace("\n", "\r\n").encode()
    return b"\r\n".join(["\r\n".join(lines).encode() + text, *files])


def _reply(status: HTTPStatus, told: dict[str, Any]) -> bytes:
    body = json.dumps(told).encode()
    lines = [f"HTTP/1.1 {status.value} {status.phrase}", "Content-Type: application/json"]
    lines += ["Retry-After: 1"] if status is HTTPStatus.TOO_MANY_REQUESTS else []
    lines += [f"Content-Length: {len(body)}", "", ""]
    return "\r\n".join(lines).encode() + body
