# SPDX-License-Identifier: AGPL-3.0-or-later
"""However many networks are named, a stranger costs little and others' mail goes on."""

from __future__ import annotations

import asyncio
from ipaddress import ip_network
from typing import Any

import pytest

from relay import senders as looks
from relay.senders import Senders
from relay.smtp.networks import NetworkTable, network
from tests.relay import mail
from tests.relay.submitting import by_network, domain


def test_look_up_takes_a_step_for_each_length_of_prefix(monkeypatch: pytest.MonkeyPatch) -> None:
    table = NetworkTable()
    for number in range(256):
        for text in (f"203.0.{number}.0/24", f"203.0.113.{number}", f"2001:db8:{number:x}::/48"):
            table.add(network(text), text)
    steps = []

    def counting(*args: Any, **options: Any) -> Any:
        steps.append(args)
        return ip_network(*args, **options)

    monkeypatch.setattr("relay.smtp.networks.ip_network", counting)
    assert table.around("203.0.113.7") == [{"203.0.113.7"}, {"203.0.113.0/24"}]
    assert len(steps) == 2
    assert table.around("2001:db8:7::1") == [{"2001:db8:7::/48"}]


@pytest.mark.django_db(transaction=True)
def test_others_go_on_while_networks_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    house = mail.organisation()
    domain(house, "firma.example")
    for number in range(3):
        by_network(f"printer{number}", f"203.0.113.{number}", of=house)
    turns, seen = [0], []

    def parsed(text: str) -> Any:
        seen.append(turns[0])
        return network(text)

    async def others() -> None:
        while True:
            turns[0] += 1
            await asyncio.sleep(0)

    async def scenario() -> None:
        senders, beside = Senders(mail.dsn(), mail.now), asyncio.create_task(others())
        assert await senders.found_at("203.0.113.2", "firma.example") == "printer2"
        beside.cancel()
        await senders.close()

    monkeypatch.setattr(looks, "_parsed", parsed)
    mail.run(scenario())
    assert len(set(seen)) == len(seen) == 3
