# SPDX-License-Identifier: AGPL-3.0-or-later
from __future__ import annotations

import asyncio
import time

import pytest

from relay.egress import EgressRefusedError, Guard, guard_from_settings, is_allowed
from relay.resolving import Resolver
from relay.smtp.mx import Unanswered
from tests.testbed.dns import Failure, NameServer
from tests.testbed.loop import on_both_loops

# One inside each block; the comments of the table say which registry they come from.
DENIED = """
0.0.0.0 0.1.2.3 10.0.0.1 100.64.0.1 100.100.100.200 127.0.0.1 127.255.255.254 168.63.129.16
169.254.169.254 172.16.0.1 172.31.255.255 192.0.0.192 192.0.2.1 192.88.99.1 192.168.1.1 198.18.0.1
198.51.100.7 203.0.113.9 224.0.0.1 239.1.1.1 240.0.0.1 255.255.255.255
:: ::1 ::7f00:1 fe80::1 fec0::1 fc00::1 fd00:ec2::254 ff02::1 100::1 5f00::1 2001::1 2001:db8::1
2001:20::1 2001:0:4136:e378:8000:63bf:3fff:fdd2 3fff::1 64:ff9b:1::1
::ffff:127.0.0.1 ::ffff:10.0.0.1 ::ffff:169.254.169.254 ::ffff:0:127.0.0.1
2002:7f00:1::1 2002:a00:1::1 2002:a9fe:a9fe::1 64:ff9b::127.0.0.1 64:ff9b::a9fe:a9fe
2606:4700::5efe:127.0.0.1 2606:4700::200:5efe:10.0.0.1 fe80::1%eth0 2606:4700::1%eth0
mail.example 1.2.3 1.2.3.4.5 0x7f.1
"""
ALLOWED = """
1.1.1.1 8.8.8.8 100.63.255.255 100.128.0.1 172.15.0.1 172.32.0.1 192.0.1.1 198.17.0.1 223.255.255.1
2606:4700:4700::1111 2a00:1450::1 ::ffff:8.8.8.8 2002:808:808::1 64:ff9b::8.8.8.8
2606:4700::5efe:8.8.8.8
"""


@pytest.mark.parametrize("address", DENIED.split())
def test_denied_in_every_form(address):
    assert not is_allowed(address)


@pytest.mark.parametrize("address", ALLOWED.split())
def test_public_addresses_are_allowed(address):
    assert is_allowed(address)


async def never(name: str) -> list[str]:
    raise AssertionError("a literal address needs no look-up")


def guard(*answer: str, **more) -> Guard:
    async def lookup(name: str) -> list[str]:
        return list(answer)

    return Guard(lookup=lookup, refusal_seconds=0, **more)


@pytest.mark.parametrize("port", [25, 465, 587, 2525])
@on_both_loops
async def test_public_name_on_a_mail_port_gives_its_addresses(port):
    found = await guard("2606:4700::1", "1.1.1.1", "::ffff:8.8.8.8").addresses(
        "Mail.example.", port
    )
    assert found == ("1.1.1.1", "8.8.8.8", "2606:4700::1")


@pytest.mark.parametrize(
    ("answer", "port"),
    [
        (["1.1.1.1"], 22),
        (["1.1.1.1"], 0),
        (["10.0.0.1"], 25),
        (["1.1.1.1", "10.0.0.1"], 25),
        (["1.1.1.1", "::ffff:10.0.0.1"], 25),
        ([], 25),
    ],
)
@on_both_loops
async def test_everything_else_is_one_refusal(answer, port):
    with pytest.raises(EgressRefusedError, match="^this server address cannot be used$"):
        await guard(*answer).addresses("mail.example", port)


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "[::1]", "::1", "2002:7f00:1::1", "RELAY.brevdue.example"]
)
@on_both_loops
async def test_ourselves_are_refused(host):
    ours = Guard(lookup=never, refusal_seconds=0, own_names=frozenset({"relay.brevdue.example"}))
    with pytest.raises(EgressRefusedError):
        await ours.addresses(host, 25)


@on_both_loops
async def test_addresses_of_this_machine_are_refused(monkeypatch):
    # Loopback counts as public here, so that only the question "is it ours?" can refuse it.
    monkeypatch.setattr("relay.egress._DENIED_V4", ())
    with pytest.raises(EgressRefusedError):
        await guard().addresses("127.0.0.1", 25)
    assert await guard().addresses("8.8.8.8", 25) == ("8.8.8.8",)


@on_both_loops
async def test_names_of_inner_networks_and_addresses_in_disguise_are_never_looked_up():
    for host in (
        *("localhost", "localhost.", "a.localhost", "127.1", "0x7f.1", "2130706433", "0177.0.0.1"),
        *("127.0.0.1.", "[127.0.0.1]", "127。0。0。1", "１２７.0.0.1", "127.0.0.0x1"),
        *("db.internal", "printer.local", "mail", "nas.home.arpa", "1.0.0.127.in-addr.arpa"),
    ):
        with pytest.raises(EgressRefusedError):
            await Guard(lookup=never, refusal_seconds=0).addresses(host, 25)


@on_both_loops
async def test_own_addresses_are_refused_in_every_form_that_leads_to_them():
    ours = guard(own_addresses=frozenset({"8.8.4.4", "2606:4700::7"}))
    for host in (
        "8.8.4.4",
        "::ffff:8.8.4.4",
        "64:ff9b::8.8.4.4",
        "2002:808:404::1",
        "2606:4700::7",
    ):
        with pytest.raises(EgressRefusedError):
            await ours.addresses(host, 25)
    assert await ours.addresses("8.8.8.8", 25) == ("8.8.8.8",)


def test_inner_addresses_of_a_mail_exchanger_are_left_out():
    ours = guard(own_addresses=frozenset({"8.8.4.4"}))
    found = ("2606:4700::1", "10.0.0.1", "8.8.4.4", "1.1.1.1", "::ffff:1.1.1.1", "::1")
    assert ours.usable(found, 25) == ours.usable(found, 443) == ("1.1.1.1", "2606:4700::1")
    assert ours.usable(found, 22) == ours.usable(["127.0.0.1"], 25) == ()
    assert len(ours.usable([f"8.8.8.{last}" for last in range(9)], 25)) == 4
    development = guard(loopback_ports=frozenset({2500}))
    assert development.usable(["127.0.0.2", "10.0.0.1"], 2500) == ("127.0.0.2",)


def test_a_mail_exchanger_is_known_as_this_service():
    ours = guard(own_addresses=frozenset({"8.8.4.4"}), own_names=frozenset({"relay.example"}))
    assert ours.is_ours("Relay.example.", [])
    assert ours.is_ours("mx.example", ["1.1.1.1", "64:ff9b::8.8.4.4"])
    assert ours.is_ours("mx.example", ["127.0.0.1"])
    assert not ours.is_ours("mx.relay.example", ["1.1.1.1", "2606:4700::1"])
    assert not guard(loopback_ports=frozenset({2500})).is_ours("mx.example", ["127.0.0.1"])


@on_both_loops
async def test_development_opens_loopback_on_its_ports_only():
    development = guard("127.0.0.1", loopback_ports=frozenset({1025}))
    assert await development.addresses("localhost", 1025) == ("127.0.0.1",)
    for answer, port in (("127.0.0.1", 25), ("10.0.0.1", 1025), ("1.1.1.1", 1025)):
        with pytest.raises(EgressRefusedError):
            await guard(answer, loopback_ports=frozenset({1025})).addresses("x.example", port)


@on_both_loops
async def test_refusals_take_the_same_time_whatever_their_cause():
    async def slow(name: str) -> list[str]:
        await asyncio.sleep({"slow.example": 0.1, "dead.example": 10}.get(name, 0))
        return ["10.0.0.1"]

    strict = Guard(lookup=slow, refusal_seconds=0.3)
    for host, port in (
        *(("fast.example", 25), ("slow.example", 25), ("dead.example", 25), ("fast.example", 22)),
        *(("10.0.0.1", 25), ("localhost", 25)),
    ):
        started = time.monotonic()
        with pytest.raises(EgressRefusedError):
            await strict.addresses(host, port)
        assert 0.28 < time.monotonic() - started < 0.6


@on_both_loops
async def test_second_answer_of_a_rebinding_name_never_counts():
    answers = [["1.1.1.1"], ["127.0.0.1"]]

    async def rebinding(name: str) -> list[str]:
        return answers.pop(0)

    found = await Guard(lookup=rebinding, refusal_seconds=0).addresses("rebind.example", 25)
    assert found == ("1.1.1.1",)
    assert len(answers) == 1


@on_both_loops
async def test_name_without_an_answer_is_refused():
    async def broken(name: str) -> list[str]:
        raise Unanswered

    with pytest.raises(EgressRefusedError):
        await Guard(lookup=broken, refusal_seconds=0).addresses("b.example", 25)
    with NameServer("b.example. 60 IN A 1.1.1.1") as dns:
        dns.fail("b.example", Failure.TIMEOUT)
        started = time.monotonic()
        strict = Guard(lookup=Resolver([dns.server]).addresses, refusal_seconds=0.2)
        with pytest.raises(EgressRefusedError):
            await strict.addresses("b.example", 25)
        assert time.monotonic() - started < 1


@on_both_loops
async def test_unspeakable_names_are_refused():
    for host in ("", "x" * 300, "a..b", "\0", "ø" * 200):
        with pytest.raises(EgressRefusedError):
            await Guard(lookup=Resolver([]).addresses, refusal_seconds=0.01).addresses(host, 25)


@on_both_loops
async def test_settings_build_the_guard(settings):
    settings.RELAY_EGRESS_LOOPBACK_PORTS = [1025]
    settings.RELAY_HOSTNAME = "Relay.brevdue.example"
    settings.RELAY_OWN_ADDRESSES = ["2606:4700:0::7"]
    with NameServer("kunde.example. 60 IN A 1.1.1.1") as dns:
        settings.RELAY_RESOLVER = [dns.server]
        found = await guard_from_settings().addresses("kunde.example", 25)
    assert found == ("1.1.1.1",)
    assert guard_from_settings().own_names == {"relay.brevdue.example"}
    assert guard_from_settings().own_addresses == {"2606:4700::7"}
    assert guard_from_settings().refusal_seconds == 5
    assert guard_from_settings(refusal_seconds=0).refusal_seconds == 0
    settings.RELAY_RESOLVER = []
    assert await guard_from_settings().addresses("127.0.0.1", 1025) == ("127.0.0.1",)
