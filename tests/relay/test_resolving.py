# SPDX-License-Identifier: AGPL-3.0-or-later
"""Asking real name servers over real sockets, with everything that goes wrong with them."""

from __future__ import annotations

import asyncio
import time

import pytest

from relay import resolving
from relay.resolving import Resolver
from relay.smtp.mx import Exchange, NoSuchName, Unanswered
from tests.testbed.dns import Failure, NameServer
from tests.testbed.loop import on_both_loops, on_uvloop

ZONE = """
modtager.example. 60 IN MX 20 mx2.modtager.example.
modtager.example. 60 IN MX 10 MX1.modtager.example.
modtager.example. 60 IN TXT "one" "two"
null.example. 60 IN MX 0 .
mx1.modtager.example. 60 IN A 192.0.2.1
mx1.modtager.example. 60 IN AAAA 2001:db8::1
alias.example. 60 IN CNAME mx1.modtager.example.
four.example. 60 IN A 192.0.2.4
six.example. 60 IN AAAA 2001:db8::6
xn--r-4ga.example. 60 IN A 192.0.2.5
1.2.0.192.in-addr.arpa. 60 IN PTR Relay.Brevdue.example.
"""


@pytest.fixture(autouse=True)
def patience(monkeypatch):
    """A busy machine answers for one family much later than for the other."""
    monkeypatch.setattr(resolving, "OTHER_FAMILY_SECONDS", 20)


@on_both_loops
async def test_records_of_each_kind():
    with NameServer(ZONE) as dns:
        resolver = Resolver([dns.server])
        found = sorted(await resolver.exchanges("modtager.example"), key=lambda one: one.preference)
        assert [one.preference for one in found] == [10, 20]
        assert found[1] == Exchange(20, "mx2.modtager.example")
        assert await resolver.exchanges("null.example") == [Exchange(0, "")]
        assert await resolver.exchanges("four.example") == []
        assert await resolver.texts("modtager.example") == [b"onetwo"]
        assert await resolver.texts("four.example") == []
        assert await resolver.names("192.0.2.1") == ["relay.brevdue.example"]
        for name in ("mx1.modtager.example", "alias.example", "MX1.modtager.example."):
            assert await resolver.addresses(name) == ["192.0.2.1", "2001:db8::1"]
        assert await resolver.addresses("ør.example") == ["192.0.2.5"]


@on_uvloop
async def test_what_does_not_exist_is_told_from_what_nobody_answers():
    with NameServer(ZONE) as dns:
        resolver = Resolver([dns.server])
        for ask in (resolver.exchanges, resolver.texts, resolver.addresses):
            with pytest.raises(NoSuchName):
                await ask("missing.example")
        resolver = Resolver([dns.server], lifetime=0.3)
        for failure in (Failure.SERVFAIL, Failure.REFUSED, Failure.TIMEOUT):
            dns.fail("modtager.example", failure)
            for ask in (resolver.exchanges, resolver.texts, resolver.addresses):
                with pytest.raises(Unanswered):
                    await ask("modtager.example")


@pytest.mark.behaviour(28)
@on_uvloop
async def test_one_family_that_answers_is_enough():
    with NameServer(ZONE) as dns:
        for failure in (Failure.SERVFAIL, Failure.REFUSED, Failure.NXDOMAIN):
            dns.fail_kind("four.example", "AAAA", failure)
            dns.fail_kind("six.example", "A", failure)
            resolver = Resolver([dns.server])
            assert await resolver.addresses("four.example") == ["192.0.2.4"]
            assert await resolver.addresses("six.example") == ["2001:db8::6"]


@on_uvloop
async def test_silence_about_one_family_does_not_hold_up_the_other(monkeypatch):
    monkeypatch.setattr(resolving, "OTHER_FAMILY_SECONDS", 0.1)
    with NameServer(ZONE) as dns:
        dns.fail_kind("four.example", "AAAA", Failure.TIMEOUT)
        async with asyncio.timeout(resolving.LIFETIME_SECONDS / 2):
            assert await Resolver([dns.server]).addresses("four.example") == ["192.0.2.4"]


@on_uvloop
async def test_no_address_of_one_family_says_nothing_while_the_other_is_unknown():
    with NameServer(ZONE) as dns:
        dns.fail_kind("six.example", "AAAA", Failure.SERVFAIL)
        with pytest.raises(Unanswered):
            await Resolver([dns.server]).addresses("six.example")


@pytest.mark.behaviour(28)
@on_uvloop
async def test_name_that_is_denied_for_one_family_goes_on_existing():
    """Some servers deny a whole name because it has no IPv6 address (RFC 4074 §4.2)."""
    with NameServer(ZONE) as dns:
        dns.fail_kind("four.example", "AAAA", Failure.NXDOMAIN)
        resolver = Resolver([dns.server])
        assert await resolver.addresses("four.example") == ["192.0.2.4"]
        assert await resolver.exchanges("four.example") == []


@pytest.mark.behaviour(28)
@on_uvloop
@pytest.mark.parametrize(("denied", "silent"), [("A", "AAAA"), ("AAAA", "A")])
async def test_name_that_is_denied_for_one_family_may_exist_while_the_other_is_unknown(
    denied, silent
):
    with NameServer(ZONE) as dns:
        dns.fail_kind("four.example", denied, Failure.NXDOMAIN)
        dns.fail_kind("four.example", silent, Failure.SERVFAIL)
        with pytest.raises(Unanswered):
            await Resolver([dns.server]).addresses("four.example")


@on_both_loops
async def test_silent_names_do_not_hold_up_others():
    """Twenty at once, where the system's look-up has four threads."""
    with NameServer(ZONE) as dns:
        dns.fail("silent.example", Failure.TIMEOUT)
        resolver = Resolver([dns.server])
        silent = [
            asyncio.create_task(resolver.addresses(f"n{number}.silent.example"))
            for number in range(20)
        ]
        await asyncio.sleep(0.1)
        async with asyncio.timeout(resolving.LIFETIME_SECONDS / 2):
            assert await resolver.addresses("four.example") == ["192.0.2.4"]
        assert not any(task.done() for task in silent)
        for task in silent:
            task.cancel()
        await asyncio.gather(*silent, return_exceptions=True)


@on_uvloop
async def test_answers_are_kept_for_a_while_and_no_longer(monkeypatch):
    with NameServer(ZONE + "long.example. 999999 IN A 192.0.2.9") as dns:
        resolver = Resolver([dns.server])
        for _ in range(3):
            assert await resolver.addresses("long.example") == ["192.0.2.9"]
        assert len(dns.queries) == 2
        later = time.time() + resolving.KEPT_SECONDS + 1
        monkeypatch.setattr("relay.resolving.time.time", lambda: later)
        await resolver.addresses("long.example")
        assert len(dns.queries) == 4


@on_uvloop
async def test_truncated_answer_is_asked_for_again_over_tcp():
    with NameServer(ZONE) as dns:
        dns.fail("modtager.example", Failure.TRUNCATED)
        assert len(await Resolver([dns.server]).exchanges("modtager.example")) == 2


@on_uvloop
async def test_what_can_be_no_name_does_not_exist():
    with NameServer(ZONE) as dns:
        resolver = Resolver([dns.server])
        for name in ("", ".", "a..example", "x" * 64 + ".example", "x." * 200, "ø" * 200, "a\\.b"):
            with pytest.raises(NoSuchName):
                await resolver.addresses(name)
        assert await resolver.addresses("localhost.") == ["127.0.0.1", "::1"]
        assert dns.queries == []
    with pytest.raises(ValueError, match="not an address"):
        await resolver.names("192.0.2")


def test_without_servers_of_its_own_it_asks_those_of_the_system(monkeypatch, tmp_path):
    monkeypatch.setattr(resolving, "SYSTEM", tmp_path / "resolv.conf")
    assert Resolver([])._resolver.nameservers == ["127.0.0.1"]
    resolving.SYSTEM.write_text("nameserver 192.0.2.53\nsearch inner.example\n")
    assert Resolver([])._resolver.nameservers == ["192.0.2.53"]
