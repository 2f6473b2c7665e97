# SPDX-License-Identifier: AGPL-3.0-or-later
"""Pages of a search in logs of a million and ten million messages, and the portal's page of it.

Every filter, first page and hundredth, as role `web` under row-level security. What finds nothing,
or is asked without that policy, is not compared with a bar.
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
from tests.bench import honesty
from tests.bench.lanes import Side
from tests.bench.logseed import Log, seed, the_last
from tests.bench.rows import Row
from tests.rig.service import Service

DAYS = 30
FIRST_PAGE_MS, PORTAL_MS = 50.0, 100.0
GETS = 200
VALUES = 40  # different ones of each filter
START_SECONDS = 120.0
# What a message takes in the log with its indexes, and as much again to write it.
OCTETS_A_MESSAGE = 3_000
SMALLER = "a smaller log"

SAMPLE = """
SELECT m.accepted_at::text, m.id::text, m.sender, m.credential_id::text, d.recipient
FROM relay_message m JOIN relay_delivery d ON d.accepted_at = m.accepted_at AND d.message_id = m.id
WHERE m.organisation_id = %s
    AND m.accepted_at >= %s::timestamptz AND d.accepted_at >= %s::timestamptz
ORDER BY md5(m.id::text) LIMIT %s
"""
WRITTEN = "SELECT count(*) FROM relay_message"


async def million_rows(service: Service, logged: int, _side: Side) -> list[Row]:
    return await asyncio.to_thread(_rows, service, "1m", 1_000_000, logged)


async def ten_million_rows(service: Service, logged: int, _side: Side) -> list[Row]:
    """The page of the portal as well: that log takes long to write."""
    return await asyncio.to_thread(_rows, service, "10m", 10_000_000, logged, has_page=True)


def _rows(
    service: Service, size: str, named: int, logged: int, *, has_page: bool = False
) -> list[Row]:
    """Measure in a log of `logged` messages, or as many as the lane is named for."""
    messages = logged or named
    names = [f"log-search-{size}", f"log-page-{size}"][: 1 + has_page]
    if why := no_room(service, messages):
        return [_not_run(*one, why) for one in zip(names, (FIRST_PAGE_MS, PORTAL_MS), strict=False)]
    begun = time.perf_counter()
    big = house(service)
    seed(service.database_url(), Log(messages=messages, days=the_last(DAYS), big=big))
    told = f"{messages} messages, written in {time.perf_counter() - begun:.0f} s"
    smaller = [SMALLER] * (messages < named)
    searches = _searches(service, big)
    found = run(service, "web", "measure", organisation=str(big), searches=searches)
    unfit = unfit_log(service, messages) + smaller
    return [
        row(names[0], found, told, unfit),
        *(_portal(service, name, smaller) for name in names[1:]),
    ]


def no_room(service: Service, messages: int) -> str:
    """Say why a log of so many messages cannot be written here, or nothing."""
    needed, free = messages * OCTETS_A_MESSAGE, shutil.disk_usage(service.home).free
    return f"{needed / 1e9:.0f} GB needed, {free / 1e9:.0f} GB free" if free < needed else ""


def _not_run(name: str, bar: float, why: str) -> Row:
    return Row(
        name=name, ours="-", reference=f"not run: {why}", bar=f"p95 < {bar:.0f} ms", holds=None
    )


def unfit_log(service: Service, messages: int) -> list[str]:
    """What keeps figures of this log from counting, in words."""
    with psycopg.connect(service.environment["WEB_DATABASE_URL"]) as web:
        found = honesty.role(web)
    with psycopg.connect(service.database_url()) as superuser:
        ((written,),) = superuser.execute(WRITTEN).fetchall()
    return found + [f"the log has {written} messages"] * (written < messages)


def row(name: str, found: dict[str, Any], told: str, unfit: list[str]) -> Row:
    """The row of a lane from what each filter gave; `unfit` says why it is not judged."""
    unfit = unfit + [f"{one} finds nothing" for one in found if not found[one]["finds"]]
    worst = max(found, key=lambda one: found[one]["first"]["p95"])
    p95 = found[worst]["first"]["p95"]
    return Row(
        name=name,
        ours=f"p95 {p95:.0f} ms ({worst})",
        reference=f"not run: {'; '.join(unfit)}" if unfit else "-",
        bar=f"p95 < {FIRST_PAGE_MS:.0f} ms",
        holds=None if unfit else p95 < FIRST_PAGE_MS,
        details=[f"{name}: {told}", *(_detail(name, *one) for one in found.items())],
        figures=found,
    )


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


def run(
    service: Service, role: str, act: str, *, program: str = "tests.bench.searching", **order: Any
) -> Any:
    """Let a program of a lane do something, connected as a role."""
    environment = {**service.environment, **service.extra, "DATABASE_ROLE": role}
    command = [sys.executable, "-m", program, json.dumps({"act": act, **order})]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{act} failed:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout)


def _portal(service: Service, name: str, unfit: list[str]) -> Row:
    """The page of the log, from gunicorn, signed in."""
    key = run(service, "owner", "sign-in", organisation=str(house(service)))
    service.start_process("web")
    address = f"http://127.0.0.1:{service.environment['WEB_PORT']}"
    if not wait_until(lambda: answers(f"{address}/healthz"), START_SECONDS):
        return _not_run(name, PORTAL_MS, "the portal does not answer")
    asked = Request(f"{address}/en/log/", headers={"Cookie": f"sessionid={key}"})
    times = [_get(asked) for _ in range(GETS + 1)][1:]
    cuts = statistics.quantiles(times, n=20)
    return Row(
        name=name,
        ours=f"p95 {cuts[18]:.0f} ms",
        reference=f"not run: {'; '.join(unfit)}" if unfit else "-",
        bar=f"p95 < {PORTAL_MS:.0f} ms",
        holds=None if unfit else cuts[18] < PORTAL_MS,
        details=[f"{name}: {GETS} pages one after the other, p50 {cuts[9]:.0f} ms"],
        figures={"ms": times},
    )


def answers(url: str) -> bool:
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
