# SPDX-License-Identifier: AGPL-3.0-or-later
"""Ten thousand guessed passwords: how many are looked at at all. The bar is 200.

Figures are printed (`-rP` shows them).
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable

import pytest
import redis
from django.conf import settings

from accounts import vault
from relay.limits import Allowance, SharedCounters, SignInGate
from relay.senders import Senders
from relay.smtp import answers
from relay.smtp.policy import Client
from relay.submission import SECRET_PURPOSE, Submission
from tests.relay import mail
from tests.relay.submitting import SECRET, Journal, credential

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.timeout(300)]

LOOKED_AT_MOST = 200
AT_ONCE = 50
SIZES = [pytest.param(300, id="small"), pytest.param(10_000, id="full", marks=pytest.mark.full)]
Guess = Callable[[int], tuple[str, str]]  # the address and the user name of each


def one_address(number: int) -> tuple[str, str]:
    return "203.0.113.7", "anna"


def many_addresses(number: int) -> tuple[str, str]:
    return f"203.{number >> 8}.{number & 255}.7", "anna"


def many_names(number: int) -> tuple[str, str]:
    """In one network of IPv6, from another address each time."""
    return f"2001:db8::{number:x}", f"name-{number}"


@pytest.fixture(autouse=True)
def _no_old_counts() -> None:
    with redis.Redis.from_url(settings.REDIS_URL) as counters:
        counters.flushdb()


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The purpose of each hash that is computed."""
    computed: list[str] = []
    keyed_hash = vault.keyed_hash

    def counting(purpose: str, value: bytes) -> bytes:
        computed.append(purpose)
        return keyed_hash(purpose, value)

    monkeypatch.setattr(vault, "keyed_hash", counting)
    return computed


@pytest.mark.behaviour(8)
@pytest.mark.parametrize("guess", [one_address, many_addresses, many_names])
@pytest.mark.parametrize("count", SIZES)
def test_most_guesses_are_never_looked_at(guess: Guess, count: int, looks: list[str]) -> None:
    credential(mail.organisation())
    looks.clear()

    async def scenario() -> Counter[object]:
        senders, counters = Senders(mail.dsn(), mail.now), SharedCounters(settings.REDIS_URL)
        policy = Submission(
            senders=senders, store=Journal(), allowance=Allowance(counters),
            gate=SignInGate(counters), hostname="relay.example", now=mail.now,
        )  # fmt: skip
        numbers = iter(range(count))

        async def guesser() -> list[object]:
            found: list[object] = []
            for number in numbers:
                address, username = guess(number)
                found.append(await policy.authenticate(Client(address), username, "guess"))
            return found

        rounds = await asyncio.gather(*(guesser() for _ in range(AT_ONCE)))
        last = guess(count)
        said = [*sum(rounds, []), await policy.authenticate(Client(last[0]), last[1], SECRET)]
        await senders.close()
        await counters.close()
        return Counter(said)

    began = time.perf_counter()
    said = asyncio.run(asyncio.wait_for(scenario(), 280))
    spent, looked_at = time.perf_counter() - began, looks.count(SECRET_PURPOSE)
    print(f"{guess.__name__}: {looked_at} of {count} looked at, {spent:.1f} s")
    assert said == {answers.WRONG_SIGN_IN: looked_at, answers.THROTTLED: count + 1 - looked_at}
    assert 0 < looked_at <= LOOKED_AT_MOST
