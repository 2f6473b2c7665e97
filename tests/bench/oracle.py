# SPDX-License-Identifier: AGPL-3.0-or-later
"""The public form asked about addresses that the log has and about others: it takes as long.

By turns, through gunicorn, each from a network of its own so that no limit drops any. Each address
is asked about in every round and counts with its median; what is compared is the median of those.
Where not every request was kept, or two lots of unknown addresses differ as much as the bar because
the machine is busy, nothing is judged.
"""

from __future__ import annotations

import asyncio
import random
import re
import statistics
import time
from dataclasses import dataclass
from http.client import HTTPConnection
from itertools import count
from typing import Any
from urllib.parse import urlencode

import psycopg

from config.stack.children import wait_until
from tests.bench.lanes import ROUNDS, Side
from tests.bench.logs import START_SECONDS, answers, house
from tests.bench.logseed import RECIPIENTS, Log, seed, the_last
from tests.bench.rows import Row
from tests.rig.service import Service

LANE = "rights-oracle"
BAR_MS = 1.0
BAR = f"< {BAR_MS:.0f} ms"
OF_EACH = 300
WARM_UP = 40
MESSAGES = 20_000
PATH = "/en/privacy/request/"
KNOWN = "SELECT DISTINCT recipient FROM relay_delivery"
STORED = "SELECT count(*) FROM gdpr_enquiry"
TOKEN = re.compile(r'name="csrfmiddlewaretoken" value="([^"]+)"')


async def oracle_rows(service: Service, logged: int, _side: Side) -> list[Row]:
    return [await asyncio.to_thread(_row, service, logged or MESSAGES)]


def _row(service: Service, messages: int) -> Row:
    log = Log(messages=messages, days=the_last(5), big=house(service))
    seed(service.database_url(), log)
    service.extra["TRUSTED_PROXIES"] = "127.0.0.0/8"
    service.start_process("web")
    port = int(service.environment["WEB_PORT"])
    if not wait_until(lambda: answers(f"http://127.0.0.1:{port}/healthz"), START_SECONDS):
        return Row(name=LANE, ours="-", reference="not run: no answer", bar=BAR, holds=None)
    times = _asked(Form.opened(port), _addresses(service))
    return row(times, kept=_count(service, STORED))


def row(times: dict[str, list[float]], *, kept: int) -> Row:
    """The row of the lane, from each address's milliseconds and how many requests were kept."""
    made = WARM_UP + ROUNDS * sum(map(len, times.values()))
    cuts = {kind: statistics.quantiles(found, n=20) for kind, found in times.items()}
    apart = abs(cuts["known"][9] - cuts["unknown"][9])
    noise = abs(cuts["unknown"][9] - cuts["others unknown"][9])
    unfit = [f"{kept} of {made} requests were kept"] * (kept != made)
    unfit += [f"two lots of unknown ones are {noise:.2f} ms apart"] * (noise >= BAR_MS)
    told = [f"{kind} p50 {cut[9]:.2f}, p95 {cut[18]:.2f} ms" for kind, cut in cuts.items()]
    return Row(
        name=LANE,
        ours=f"{apart:.2f} ms apart",
        reference=f"not run: {'; '.join(unfit)}" if unfit else "-",
        bar=BAR,
        holds=None if unfit else apart < BAR_MS,
        details=[
            f"{LANE}: {len(times['known'])} of each by turns, {ROUNDS} rounds; {'; '.join(told)}"
        ],
        figures={"ms": times},
    )


def _addresses(service: Service) -> list[tuple[str, str]]:
    """Return addresses with their kind; the unknown look like the known."""
    with psycopg.connect(service.database_url()) as superuser:
        known = {address for (address,) in superuser.execute(KNOWN)}
    every = (f"r{number}@modtager.example" for number in range(RECIPIENTS))
    unknown = random.sample([one for one in every if one not in known], 2 * OF_EACH)
    chosen = {
        "known": random.sample(sorted(known), OF_EACH),
        "unknown": unknown[:OF_EACH],
        "others unknown": unknown[OF_EACH:],
    }
    return [(kind, one) for kind, found in chosen.items() for one in found]


def _asked(form: Form, addresses: list[tuple[str, str]]) -> dict[str, list[float]]:
    """Return the median of each address's rounds in ms, by kind; each round in another order."""
    networks = (f"198.18.{number // 250}.{number % 250 + 1}" for number in count())
    for number in range(WARM_UP):
        form.send(f"w{number}@modtager.example", next(networks))
    took: dict[tuple[str, str], list[float]] = {each: [] for each in addresses}
    for _ in range(ROUNDS):
        for kind, address in random.sample(addresses, len(addresses)):
            took[kind, address].append(form.send(address, next(networks)))
    times: dict[str, list[float]] = {}
    for (kind, _address), found in took.items():
        times.setdefault(kind, []).append(statistics.median(found))
    return times


@dataclass(frozen=True, slots=True)
class Form:
    """A browser on the form's page, with the token of its protection against forgery."""

    connection: HTTPConnection
    headers: dict[str, str]
    token: str

    @classmethod
    def opened(cls, port: int) -> Form:
        connection = HTTPConnection("127.0.0.1", port, timeout=30)
        connection.request("GET", PATH)
        answer = connection.getresponse()
        found = TOKEN.search(answer.read().decode())
        assert found, "not the page of the form"
        cookie = str(answer.headers["Set-Cookie"]).partition(";")[0]
        headers = {"Cookie": cookie, "Content-Type": "application/x-www-form-urlencoded"}
        return cls(connection, headers, found[1])

    def send(self, address: str, network: str) -> float:
        """Ask about an address; return the milliseconds until the answer."""
        fields: dict[str, Any] = {
            "csrfmiddlewaretoken": self.token,
            "address": address,
            "rights": "access",
            "whom": "everyone",
            "agreed": "on",
        }
        headers = {**self.headers, "X-Forwarded-For": network}
        begun = time.perf_counter()
        self.connection.request("POST", PATH, urlencode(fields), headers)
        answer = self.connection.getresponse()
        answer.read()
        took = (time.perf_counter() - begun) * 1000
        assert answer.status == 302, answer.status
        return took


def _count(service: Service, statement: str) -> int:
    with psycopg.connect(service.database_url()) as superuser:
        ((count,),) = superuser.execute(statement).fetchall()
    return int(count)
