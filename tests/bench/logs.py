# SPDX-License-Identifier: AGPL-3.0-or-later
"""Pages of a search in logs of a million and ten million messages, and the portal's page of it.

Every filter, first page and hundredth, as role `web` under row-level security.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import statistics
import subprocess
import sys
import time
from typing import Any
from urllib.request import Request, urlopen

import psycopg

from config.stack.children import wait_until
from config.stack.places import ROOT
from tests.bench.lanes import Side
from tests.bench.logseed import Log, seed, the_last
from tests.bench.rows import Row
from tests.rig.service import Service

DAYS = 30
FIRST_PAGE_MS, PORTAL_MS = 50.0, 100.0
GETS = 200
VALUES = 40  # different ones of each filter
START_SECONDS = 120.0
# Measured: what a message takes in the log with its indexes, and as much again to write it.
OCTETS_A_MESSAGE = 3_000

SAMPLE = """
SELECT m.accepted_at::text, m.id::text, m.sender, m.credential_id::text, d.recipient
FROM relay_message m JOIN relay_delivery d ON d.accepted_at = m.accepted_at AND d.message_id = m.id
WHERE m.organisation_id = %s
    AND m.accepted_at >= %s::timestamptz AND d.accepted_at >= %s::timestamptz
ORDER BY md5(m.id::text) LIMIT %s
"""


async def million_rows(service: Service, _messages: int, _side: Side) -> list[Row]:
    return await asyncio.to_thread(_searched, service, "log-search-1m", 1_000_000)


async def ten_million_rows(service: Service, _messages: int, _side: Side) -> list[Row]:
    """The page of the portal as well: that log takes long to write."""
    rows = await asyncio.to_thread(_searched, service, "log-search-10m", 10_000_000)
    if rows[0].holds is not None:
        rows.append(await asyncio.to_thread(_portal, service))
    return rows


def _searched(service: Service, name: str, messages: int) -> list[Row]:
    bar = f"p95 < {FIRST_PAGE_MS:.0f} ms"
    needed, free = messages * OCTETS_A_MESSAGE, shutil.disk_usage(service.home).free
    if free < needed:
        why = f"not run: {needed >> 30} GiB needed, {free >> 30} GiB free"
        return [Row(name=name, ours="-", reference=why, bar=bar, holds=None)]
    big = house(service)
    begun = time.perf_counter()
    seed(service.database_url(), Log(messages=messages, days=the_last(DAYS), big=big))
    seeded = time.perf_counter() - begun
    found = run(service, "web", "measure", organisation=str(big), searches=_searches(service, big))
    worst = max(found, key=lambda one: found[one]["first"]["p95"])
    p95 = found[worst]["first"]["p95"]
    return [
        Row(
            name=name,
            ours=f"p95 {p95:.0f} ms ({worst})",
            bar=bar,
            holds=p95 < FIRST_PAGE_MS,
            details=[_detail(name, *one) for one in found.items()]
            + [f"{name}: {seeded:.0f} s of writing"],
            figures=found,
        )
    ]


def _detail(name: str, what: str, found: dict[str, Any]) -> str:
    first, far = found["first"], found["hundredth"]
    return (
        f"{name} {what}: first page p50 {first['p50']}, p95 {first['p95']} ms"
        f" ({found['lines']:.0f} lines); page {found['page']} p50 {far['p50']}, p95 {far['p95']} ms"
    )


def house(service: Service) -> Any:
    with psycopg.connect(service.database_url()) as superuser:
        ((found,),) = superuser.execute("SELECT id FROM accounts_organisation LIMIT 1")
    return found


def _searches(service: Service, big: Any) -> dict[str, list[dict[str, Any]]]:
    """What is looked for by each filter: values of the log, the common ones more often."""
    yesterday = str(the_last(1)[0])
    with psycopg.connect(service.database_url()) as superuser:
        rows = superuser.execute(SAMPLE, [big, yesterday, yesterday, VALUES]).fetchall()
    known = [[at, identifier] for at, identifier, *_ in rows]
    run(service, "owner", "known", organisation=str(big), messages=known)
    recipients = [recipient for *_, recipient in rows]
    states = ("bounced", "expired", "cancelled", "waiting", "delivered")
    return {
        "recipient": [{"recipient": one} for one in recipients],
        "recipient's beginning": [_begins("recipient", one[:4]) for one in recipients],
        "sender": [{"sender": sender} for _, _, sender, *_ in rows],
        "sender's beginning": [_begins("sender", sender[:5]) for _, _, sender, *_ in rows],
        "credential": [{"credential": credential} for *_, credential, _ in rows],
        "message id": [{"message_id": f"{one}@bench.example"} for _, one in known],
        "day": [{"since_on": str(day), "until_on": str(day)} for day in the_last(DAYS - 1)],
        **{f"state {state}": [{"state": state}] for state in states},
        "may be twice": [{"mark": "possible_duplicate"}],
        "sender and bounced": [{"sender": row[2], "state": "bounced"} for row in rows],
        "beginning and bounced": [
            _begins("recipient", one[:4]) | {"state": "bounced"} for one in recipients
        ],
    }  # fmt: skip


def _begins(name: str, text: str) -> dict[str, Any]:
    return {name: text, f"{name}_begins": True}


def run(service: Service, role: str, act: str, **order: Any) -> Any:
    """Let searching.py do something, connected as a role."""
    environment = {**service.environment, **service.extra, "DATABASE_ROLE": role}
    command = [sys.executable, "-m", "tests.bench.searching", json.dumps({"act": act, **order})]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{act} failed:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout)


def _portal(service: Service) -> Row:
    """The page of the log, from gunicorn, signed in."""
    key = run(service, "owner", "sign-in", organisation=str(house(service)))
    service.start_process("web")
    address = f"http://127.0.0.1:{service.environment['WEB_PORT']}"
    wait_until(lambda: _answers(f"{address}/healthz"), START_SECONDS)
    asked = Request(f"{address}/en/log/", headers={"Cookie": f"sessionid={key}"})
    times = [_get(asked) for _ in range(GETS + 1)][1:]
    cuts = statistics.quantiles(times, n=20)
    return Row(
        name="log-page-10m",
        ours=f"p95 {cuts[18]:.0f} ms",
        bar=f"p95 < {PORTAL_MS:.0f} ms",
        holds=cuts[18] < PORTAL_MS,
        details=[f"log-page-10m: {GETS} pages one after the other, p50 {cuts[9]:.0f} ms"],
        figures={"ms": times},
    )


def _answers(url: str) -> bool:
    try:
        with urlopen(url, timeout=5) as answer:
            return int(answer.status) == 200
    except OSError:
        return False


def _get(asked: Request) -> float:
    """Return the milliseconds a page took; it must be the log's, with lines."""
    begun = time.perf_counter()
    with urlopen(asked, timeout=30) as answer:
        text = answer.read().decode()
    assert text.count("/log/0") >= 50, "not the page of a signed-in person's log"
    return (time.perf_counter() - begun) * 1000
