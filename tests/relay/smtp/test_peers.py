# SPDX-License-Identifier: AGPL-3.0-or-later
"""The client against a server that somebody else wrote, and bulk over TLS."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from aiosmtpd.smtp import SMTP, AuthResult

from relay.smtp.client import Connection
from relay.smtp.envelope import Envelope, Recipient
from relay.smtp.handshake import Target, Timeouts
from relay.smtp.replies import Verdict
from relay.smtp.tls import TlsPolicy, make_contexts
from tests.relay.smtp.sending import decided
from tests.testbed.loop import on_both_loops
from tests.testbed.smtp import FarEnd

CONTENT = "Subject: smør\r\n\r\n.\r\n..to\r\n".encode()


async def nothing(taken: Sequence[int]) -> None:
    pass


def target(port: int, **more: Any) -> Target:
    return Target(host="localhost", address="127.0.0.1", port=port, tls=TlsPolicy.STARTTLS, **more)


class Keeper:
    def __init__(self) -> None:
        self.letters: list[tuple[str, list[str], bytes, str]] = []

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        user = session.auth_data.login.decode()
        self.letters.append((envelope.mail_from, envelope.rcpt_tos, envelope.content, user))
        return "250 2.0.0 ok"


def sign_in(server: Any, session: Any, envelope: Any, mechanism: str, data: Any) -> AuthResult:
    return AuthResult(success=data.password == b"hemmelig", auth_data=data)


@on_both_loops
async def test_aiosmtpd_takes_mail_with_starttls_and_sign_in(authority):
    keeper = Keeper()
    loop = asyncio.get_running_loop()
    context = authority.server("localhost")

    def make() -> SMTP:
        return SMTP(
            keeper,
            enable_SMTPUTF8=True,
            decode_data=False,
            tls_context=context,
            require_starttls=True,
            authenticator=sign_in,
            auth_required=True,
            loop=loop,
        )

    server = await loop.create_server(make, "127.0.0.1", 0)
    connection = await Connection.open(
        target(server.sockets[0].getsockname()[1], username="kunde", password="hemmelig"),
        ehlo_name="mail.brevdue.example",
        contexts=make_contexts(str(authority.ca_file)),
        timeouts=Timeouts(goodbye=1),
    )
    envelope = Envelope("søren@kunde.example", (Recipient("ærø@modtager.example"),), smtputf8=True)
    for _ in range(3):
        (outcome,) = decided(await connection.send(envelope, CONTENT, nothing))
        assert outcome.verdict is Verdict.DELIVERED
        assert outcome.tls_verified
    await connection.close()
    server.close()
    assert (
        keeper.letters == [("søren@kunde.example", ["ærø@modtager.example"], CONTENT, "kunde")] * 3
    )


@on_both_loops
async def test_large_body_crosses_tls_unchanged(authority):
    content = b"Subject: stor\r\n\r\n" + b"".join(
        b".%06d" % i + b"x" * 900 + b"\r\n" for i in range(8000)
    )
    async with FarEnd(tls=authority.server("localhost")) as far_end:
        connection = await Connection.open(
            target(far_end.port),
            ehlo_name="mail.brevdue.example",
            contexts=make_contexts(str(authority.ca_file)),
        )
        bounce = Envelope("", (Recipient("erik@modtager.example"),))
        (outcome,) = decided(await connection.send(bounce, content, nothing))
        await connection.close()
    assert outcome.verdict is Verdict.DELIVERED
    assert far_end.ledger[0].content == content
    assert b"stor" not in far_end.clear
