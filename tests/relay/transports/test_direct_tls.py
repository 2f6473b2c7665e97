# SPDX-License-Identifier: AGPL-3.0-or-later
"""Encryption towards the mail servers of a domain, as whoever has a say in it wants it."""

from __future__ import annotations

from uuid import UUID

import pytest

from relay.smtp import sts
from relay.smtp.replies import Verdict
from relay.smtp.tls import Contexts, TlsDemand, TlsPolicy, TlsResult, make_contexts
from tests.relay.smtp.sending import decided
from tests.relay.transports.network import DOMAIN, Published, network, policy, target
from tests.relay.transports.test_smarthost import ENVELOPE, content, nothing
from tests.testbed.certificates import Authority
from tests.testbed.loop import on_uvloop
from tests.testbed.smtp import FarEnd, Script


@pytest.fixture
def trusted(authority: Authority) -> Contexts:
    return make_contexts(str(authority.ca_file))


SERVER = "mx2.modtager.example"


@pytest.mark.behaviour(34)
@pytest.mark.parametrize("kind", ["plain", "unverified", "broken", "expired"])
@on_uvloop
async def test_opportunistic_encryption_tells_the_truth(kind, authority, trusted):
    script, tls, expected = {
        "plain": (Script(), None, TlsResult.NOT_OFFERED),
        "unverified": (Script(), authority.server(SERVER), TlsResult.UNVERIFIED),
        "expired": (Script(), authority.expired(SERVER), TlsResult.UNVERIFIED),
        "broken": (
            Script(starttls="454 4.7.0 not now"),
            authority.server(SERVER),
            TlsResult.FAILED,
        ),
    }[kind]
    far_end = FarEnd(script, tls=tls)
    async with network(far_end) as net:
        outcome = await net.send(net.direct(contexts=trusted))
        assert (outcome.verdict, outcome.tls_demand) == (Verdict.DELIVERED, TlsDemand.MAY)
        assert outcome.tls_result == expected
        assert [message.tls for message in far_end.ledger] == [expected is TlsResult.UNVERIFIED]


@pytest.mark.behaviour(34)
@pytest.mark.parametrize("demand", [TlsDemand.MUST, TlsDemand.MESSAGE, TlsDemand.STS])
@pytest.mark.parametrize("fault", ["stripped", "expired", "wrong", "unknown", "none"])
@on_uvloop
async def test_demanded_encryption_or_nothing(demand, fault, authority, trusted, tmp_path_factory):
    tls = {
        "stripped": None,
        "expired": authority.expired(SERVER),
        "wrong": authority.server(DOMAIN),
        "unknown": Authority(tmp_path_factory.mktemp("other")).server(SERVER),
        "none": authority.server(SERVER),
    }[fault]
    far_end = FarEnd(tls=tls)
    published = policy(sts.Mode.ENFORCE) if demand is TlsDemand.STS else Published()
    asked = target(tls=TlsPolicy.STARTTLS if demand is TlsDemand.MUST else TlsPolicy.OPPORTUNISTIC)
    if demand is TlsDemand.MESSAGE:
        asked = asked.demanding_tls()
    async with network(far_end) as net:
        transport = net.direct(contexts=trusted, published=published)
        (outcome,) = decided(await transport.send(asked, ENVELOPE, content, nothing))
        assert outcome.tls_demand == demand
        if fault == "none":
            assert (outcome.verdict, outcome.tls_verified) == (Verdict.DELIVERED, True)
        else:
            assert outcome.verdict is Verdict.RETRY
            assert outcome.enhanced.startswith("4.7.")
            assert far_end.ledger == []
            assert b"MAIL" not in far_end.clear


@pytest.mark.behaviour(34)
@on_uvloop
async def test_server_that_the_policy_does_not_name_is_not_even_connected_to(authority, trusted):
    first, second = FarEnd(tls=authority.server(SERVER)), FarEnd()
    second.tls = authority.server("mx3.modtager.example")
    async with network(first, second) as net:
        named = policy(sts.Mode.ENFORCE, "mx3.modtager.example")
        outcome = await net.send(net.direct(contexts=trusted, published=named))
        assert (outcome.verdict, outcome.remote_address) == (Verdict.DELIVERED, "127.0.0.3")
        other = policy(sts.Mode.ENFORCE, "mail.other.example")
        outcome = await net.send(net.direct(contexts=trusted, published=other))
        assert (outcome.verdict, outcome.enhanced) == (Verdict.RETRY, "4.7.5")
        assert outcome.tls_demand == TlsDemand.STS
        assert first.connections == 0


@pytest.mark.behaviour(34)
@on_uvloop
async def test_testing_demands_nothing_and_a_sender_may_waive_what_the_recipient_asks():
    far_end = FarEnd()
    async with network(far_end) as net:
        outcome = await net.send(net.direct(published=policy(sts.Mode.TESTING)))
        assert (outcome.verdict, outcome.tls_demand) == (Verdict.DELIVERED, TlsDemand.STS_TESTING)
        outcome = await net.send(net.direct(published=policy(sts.Mode.NONE)))
        assert (outcome.verdict, outcome.tls_demand) == (Verdict.DELIVERED, TlsDemand.MAY)
        enforcing = net.direct(published=policy(sts.Mode.ENFORCE))
        assert (await net.send(enforcing)).verdict is Verdict.RETRY
        assert (await net.send(enforcing, waives=True)).verdict is Verdict.DELIVERED
        # What the route or the message demands is not the recipient's to be waived.
        strict = await net.send(enforcing, waives=True, tls=TlsPolicy.STARTTLS)
        assert strict.verdict is Verdict.RETRY


@pytest.mark.behaviour(35)
@on_uvloop
async def test_organisations_share_a_connection_but_not_one_with_less_encryption(
    authority, trusted
):
    far_end = FarEnd(tls=authority.server(SERVER))
    async with network(far_end) as net:
        transport = net.direct(contexts=trusted)
        other = UUID("019a0000-0000-7000-8000-00000000bbbb")
        await net.send(transport)
        await net.send(transport, route_id=other, version=7)
        assert far_end.connections == 1
        outcome = await net.send(transport, tls=TlsPolicy.STARTTLS)
        assert (outcome.verdict, outcome.tls_verified) == (Verdict.DELIVERED, True)
        assert far_end.connections == 2
