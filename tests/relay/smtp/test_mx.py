# SPDX-License-Identifier: AGPL-3.0-or-later
"""Which hosts are tried for a domain, in which order, and when none of them is."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relay.smtp import mx
from relay.smtp.mx import Exchange, Host, NoSuchName, Nowhere, Unanswered
from relay.smtp.replies import Verdict

DOMAIN = "modtager.example"
Answer = Sequence[str] | type[Exception]


class Zone:
    """Names as a test has them; what it does not know does not exist."""

    def __init__(
        self,
        exchanges: Sequence[tuple[int, str]] | type[Exception] = (),
        addresses: Mapping[str, Answer] | None = None,
    ) -> None:
        self._exchanges = exchanges
        self._addresses = addresses or {}
        self.asked: list[str] = []

    async def exchanges(self, name: str) -> list[Exchange]:
        if isinstance(self._exchanges, type):
            raise self._exchanges
        return [Exchange(preference, host) for preference, host in self._exchanges]

    async def addresses(self, name: str) -> list[str]:
        self.asked.append(name)
        await asyncio.sleep(0)
        found = self._addresses.get(name, NoSuchName)
        if isinstance(found, type):
            raise found
        return list(found)


def hosts(zone: Zone, *, ours: str = "", random=lambda: 0.5) -> list[Host | Nowhere]:
    async def all_of_them() -> list[Host | Nowhere]:
        def is_ours(name: str, addresses: Sequence[str]) -> bool:
            return ours in (name, *addresses)

        found = mx.hosts(DOMAIN, zone, is_ours=is_ours, random=random)
        return [step async for step in found]

    return asyncio.run(all_of_them())


def tried(zone: Zone, **more) -> list[str]:
    return [step.name if isinstance(step, Host) else step.enhanced for step in hosts(zone, **more)]


def known(*names: str) -> dict[str, Answer]:
    return {name: [f"192.0.2.{number}"] for number, name in enumerate(names, 1)}


def test_lower_preference_comes_first():
    records = [(20, "b.example"), (5, "a.example"), (30, "c.example")]
    zone = Zone(records, known("a.example", "b.example", "c.example"))
    assert tried(zone) == ["a.example", "b.example", "c.example"]


@pytest.mark.behaviour(28)
def test_equals_are_tried_in_any_order():
    records = [(10, f"{letter}.example") for letter in "abcd"]
    zone = Zone(records, known(*(name for _, name in records)))
    orders = {tuple(tried(zone, random=Random(seed).random)) for seed in range(40)}
    assert len(orders) > 10
    assert {order[0] for order in orders} == {name for _, name in records}


def test_domain_without_mx_is_its_own_mail_server():
    zone = Zone([], {DOMAIN: ["192.0.2.1", "2001:db8::1"]})
    assert hosts(zone) == [Host(DOMAIN, ("192.0.2.1", "2001:db8::1"))]


def test_domain_with_mx_is_not_its_own_mail_server():
    zone = Zone([(10, "a.example")], {DOMAIN: ["192.0.2.1"], "a.example": NoSuchName})
    assert hosts(zone) == [mx.ADDRESSLESS]
    assert DOMAIN not in zone.asked


@pytest.mark.parametrize(
    ("zone", "nowhere"),
    [
        (Zone(NoSuchName), mx.UNKNOWN),
        (Zone([(0, "")]), mx.NULL),
        (Zone([], {DOMAIN: []}), mx.BARE),
        (Zone([], {DOMAIN: NoSuchName}), mx.BARE),
        (Zone(Unanswered), mx.SILENT),
        (Zone([], {DOMAIN: Unanswered}), mx.SILENT),
        (Zone([(10, "a.example")], {"a.example": Unanswered}), mx.SILENT),
        (Zone([(10, "a.example")], {"a.example": []}), mx.ADDRESSLESS),
        (Zone([(10, "a.example")], {"a.example": NoSuchName}), mx.ADDRESSLESS),
        (Zone([(10, "two words.example")]), mx.ADDRESSLESS),
        (Zone([(5, "a.example"), (9, "b.example")], {"a.example": Unanswered}), mx.SILENT),
    ],
)
def test_nowhere_to_go_has_its_reason(zone, nowhere):
    assert hosts(zone) == [nowhere]


def test_only_what_never_changes_by_waiting_ends_the_mail():
    for nowhere in (mx.UNKNOWN, mx.NULL, mx.BARE, mx.LOOP, mx.SILENT, mx.ADDRESSLESS):
        assert nowhere.enhanced[0] == ("5" if nowhere.verdict is Verdict.BOUNCED else "4")
    assert (mx.NULL.enhanced, mx.UNKNOWN.enhanced) == ("5.1.10", "5.1.2")
    assert mx.SILENT.verdict is mx.ADDRESSLESS.verdict is Verdict.RETRY


def test_null_mx_among_others_is_ignored():
    assert tried(Zone([(0, ""), (10, "a.example")], known("a.example"))) == ["a.example"]


def test_host_without_address_or_answer_leaves_the_mail_to_the_next():
    records = [(1, "a.example"), (2, "b.example"), (3, "c.example")]
    addresses: dict[str, Answer] = {"a.example": [], "b.example": Unanswered}
    zone = Zone(records, addresses | known("c.example"))
    assert tried(zone) == ["c.example", "4.4.3"]


def test_silence_about_one_host_outlives_what_the_others_say():
    zone = Zone([(1, "a.example"), (2, "b.example")], {"a.example": Unanswered})
    assert tried(zone, ours="b.example") == ["4.4.3"]


def test_less_preferred_hosts_are_looked_up_only_when_it_is_their_turn():
    zone = Zone([(1, "a.example"), (2, "b.example")], known("a.example", "b.example"))

    async def first() -> Host | Nowhere:
        found = mx.hosts(DOMAIN, zone, is_ours=lambda *_: False, random=lambda: 0.0)
        return await anext(found)

    assert asyncio.run(first()) == Host("a.example", ("192.0.2.1",))
    assert zone.asked == ["a.example"]


@pytest.mark.behaviour(28)
@pytest.mark.parametrize("ours", ["b.example", "192.0.2.2"])
def test_what_is_not_preferred_to_ourselves_is_left_out(ours):
    records = [(1, "a.example"), (2, "b.example"), (2, "c.example"), (3, "d.example")]
    zone = Zone(records, known("a.example", "b.example", "c.example", "d.example"))
    assert tried(zone, ours=ours) == ["a.example"]
    assert tried(Zone(records[1:], zone._addresses), ours=ours) == ["5.4.6"]


def test_ourselves_without_an_address_are_known_by_name():
    assert tried(Zone([(1, "a.example")], {"a.example": Unanswered}), ours="a.example") == ["5.4.6"]


def test_addresses_of_both_families_are_bounded():
    many = [f"192.0.2.{n}" for n in range(1, 50)] + [f"2001:db8::{n}" for n in range(1, 50)]
    (host,) = hosts(Zone([(10, "a.example")], {"a.example": many}))
    assert host == Host("a.example", ("192.0.2.1", "192.0.2.2", "2001:db8::1", "2001:db8::2"))


records = st.lists(
    st.tuples(st.integers(0, 5), st.sampled_from(["", *(f"h{n}.example" for n in range(20))]))
)
answers = st.sampled_from([["192.0.2.7"], ["2001:db8::7"], [], NoSuchName, Unanswered])


@pytest.mark.behaviour(28)
@settings(deadline=None)  # each example has a loop of its own
@given(records, st.lists(answers, min_size=20, max_size=20), st.integers(0, 25), st.randoms())
def test_hosts_or_one_reason_whatever_is_published(found, answers, ours, random):
    addresses = {f"h{n}.example": answer for n, answer in enumerate(answers)}
    addresses[DOMAIN] = answers[0]
    steps = hosts(Zone(found, addresses), ours=f"h{ours}.example", random=random.random)
    names = [step.name for step in steps if isinstance(step, Host)]
    assert all(isinstance(step, Host) for step in steps[:-1])
    assert steps
    assert not names or isinstance(steps[-1], Host) or steps[-1] is mx.SILENT
    assert len(names) == len(set(names)) <= mx.MAX_HOSTS
    if found:
        best = {name: min(p for p, other in found if other == name) for name in names}
        assert [best[name] for name in names] == sorted(best.values())
    mine = min((p for p, name in found if name == f"h{ours}.example"), default=99)
    if len({name for _, name in found}) <= mx.MAX_HOSTS:
        assert all(p < mine for p, name in found if name in names and p == best[name])
