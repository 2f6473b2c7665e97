# SPDX-License-Identifier: AGPL-3.0-or-later
"""Measure every lane (or ONLY one), print the table, write var/bench/latest.json; always exits 0.

Usage: python -m tests.bench [--only LANE] [--messages N] [--ours-only] [--logged N]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import ssl
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import uvloop

from config.stack.places import ROOT, engine_account, engine_home
from relay.supervision import carry_lightly
from tests.bench import dkim, honesty
from tests.bench.depth import depth_rows
from tests.bench.dropping import drop_rows
from tests.bench.erasing import erasing_rows
from tests.bench.exports import export_rows
from tests.bench.fairness import fair_rows
from tests.bench.lanes import LANES, ROUNDS, WARM_UP, Lane, Side, measure, row
from tests.bench.load import Sink
from tests.bench.logs import million_rows, ten_million_rows
from tests.bench.memory import memory_rows
from tests.bench.oracle import oracle_rows
from tests.bench.postfix import NotRun, Postfix
from tests.bench.processes import processes_rows
from tests.bench.rows import Row, table
from tests.rig.service import DOMAIN, PROCESSES, Service, Tenant

RESULT = ROOT / "var" / "bench" / "latest.json"
Act = Callable[[Service, int, Side], Awaitable[list[Row]]]
ALONE: dict[str, Act] = {
    "relay-depth": depth_rows,
    "relay-memory": memory_rows,
    "relay-fair": fair_rows,
    "relay-processes": processes_rows,
}
# Nothing is sent here: the engines are all that runs, and nobody forgets a day that is due.
LOGS: dict[str, Act] = {
    "log-search-1m": million_rows,
    "log-search-10m": ten_million_rows,
    "log-drop-day": drop_rows,
    "rights-export-1m": export_rows,
    "rights-oracle": oracle_rows,
    "rights-erase-10m": erasing_rows,
}


def main() -> None:
    options = _options()
    carry_lightly()  # the load and the far end use the same processors
    lanes = [lane for lane in LANES if options.only in ("", lane.name)]
    rows = []
    for signs in (False, True):
        alike = [lane for lane in lanes if lane.signs is signs]
        if alike:
            rows += uvloop.run(_compare(alike, options.messages, options.ours_only, signs=signs))
    for name, act in ALONE.items():
        if options.only in ("", name):
            rows += uvloop.run(_alone(act, options.messages, PROCESSES))
    for name, act in LOGS.items():
        if options.only in ("", name):
            rows += uvloop.run(_alone(act, options.logged, ()))
    print(table(rows))  # noqa: T201
    _write(rows, options.messages)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    names = ["", *(lane.name for lane in LANES), *ALONE, *LOGS]
    parser.add_argument("--only", default=os.environ.get("ONLY", ""), choices=names)
    parser.add_argument("--messages", type=int, default=3000, help="in each round")
    parser.add_argument("--ours-only", action="store_true", help="leave the reference out")
    smaller = "messages in the log, or rows, fewer than a lane is named for: nothing is judged then"
    parser.add_argument("--logged", type=int, default=0, help=smaller)
    return parser.parse_args()


async def _alone(act: Act, messages: int, processes: Sequence[str]) -> list[Row]:
    """Measure what has no reference, on a service of its own with these processes."""
    sink = Sink()
    service = Service.below_var("bench", await sink.listen())
    try:
        service.prepare()
        service.start_all(processes)
        rows = await act(service, messages, _our_side(service, sink))
    finally:
        service.stop()
    service.forget()
    return rows


async def _compare(lanes: list[Lane], messages: int, ours_only: bool, *, signs: bool) -> list[Row]:
    our_sink, their_sink = (dkim.SigningSink() if signs else Sink() for _ in range(2))
    service = Service.below_var("bench", await our_sink.listen())
    service.tenants = [Tenant(DOMAIN, service.route_port, signs=signs)]
    milter = dkim.OpenDkim(_reference_home("opendkim")) if signs else None
    try:
        service.prepare()
        service.start_all(PROCESSES[:1])
        missing = honesty.before(service)
        service.start_all(PROCESSES[1:])
        postfix = _reference(service, await their_sink.listen())
        not_run = "left out" if ours_only else _start(postfix, milter, service)
        sides = [_our_side(service, our_sink)]
        if not not_run:
            sides.append(_their_side(postfix, milter, their_sink, sides[0]))
        # The message of the look at the service comes to the far end before any that counts.
        figures = [await measure(lane, messages, sides) for lane in lanes]
        missing += await _log(service, len(lanes) * (WARM_UP + ROUNDS * messages))
        if milter is not None:
            missing += _unsigned(service, milter, sides)
    finally:
        service.stop()
        postfix.stop()
        if milter is not None:
            milter.stop()
    service.forget()
    not_run = not_run or "; ".join(missing)
    return [row(lane, found, not_run) for lane, found in zip(lanes, figures, strict=True)]


def _unsigned(service: Service, milter: dkim.OpenDkim, sides: list[Side]) -> list[str]:
    known = (("our", dkim.our_records(service)), ("their", milter.records()))
    found: list[str] = []
    for (whose, records), side in zip(known, sides, strict=False):
        assert isinstance(side.sink, dkim.SigningSink)
        found += dkim.missing(whose, side.sink, records)
    return found


async def _log(service: Service, messages: int) -> list[str]:
    """What the log lacks once the last answers are written."""
    for _ in range(50):
        if not honesty.after(service, messages):
            return []
        await asyncio.sleep(0.2)
    return honesty.after(service, messages)


def _reference_home(name: str) -> Path:
    return engine_home("bench", engine_account()) / name


def _reference(service: Service, sink_port: int) -> Postfix:
    certificate, key = (service.environment[f"SMTP_TLS_{part}"] for part in ("CERT", "KEY"))
    return Postfix(_reference_home("postfix"), sink_port, certificate, key)


def _start(postfix: Postfix, milter: dkim.OpenDkim | None, service: Service) -> str:
    """Start the reference; returns why it cannot be compared with, or nothing."""
    try:
        if milter is not None:
            milter.start()
            postfix.milter = milter.socket
        postfix.start()
    except NotRun as reason:
        return str(reason)
    return "; ".join(honesty.disks(service.home, postfix.home))


def _our_side(service: Service, sink: Sink) -> Side:
    return Side(
        port=service.sign_in.port,
        sink=sink,
        roots=service.roots,
        username=service.sign_in.username,
        password=service.sign_in.password,
        tls=ssl.create_default_context(cafile=service.environment["RELAY_CA_FILE"]),
        server_name=service.environment["RELAY_HOSTNAME"],
    )


def _their_side(postfix: Postfix, milter: dkim.OpenDkim | None, sink: Sink, ours: Side) -> Side:
    return Side(
        port=postfix.port,
        sink=sink,
        roots=lambda: postfix.roots() | (milter.roots() if milter else {}),
        tls=ours.tls,
        server_name=ours.server_name,
    )


def _write(rows: list[Row], messages: int) -> None:
    RESULT.parent.mkdir(parents=True, exist_ok=True)
    about: dict[str, Any] = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": f"{platform.machine()}, {os.cpu_count()} processors",
        "messages_a_round": messages,
    }
    RESULT.write_text(
        json.dumps({**about, "lanes": [asdict(row) for row in rows]}, indent=1) + "\n"
    )


if __name__ == "__main__":
    main()
