# SPDX-License-Identifier: AGPL-3.0-or-later
"""Measure every lane (or ONLY one), print the table, write var/bench/latest.json; always exits 0.

Usage: python -m tests.bench [--only LANE] [--messages N] [--ours-only]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import ssl
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import uvloop

from config.stack.places import ROOT, engine_account, engine_home
from tests.bench import honesty
from tests.bench.lanes import LANES, ROUNDS, WARM_UP, Figures, Lane, Side, measure
from tests.bench.load import Sink
from tests.bench.postfix import NotRun, Postfix
from tests.rig.service import PROCESSES, Service

RESULT = ROOT / "var" / "bench" / "latest.json"
COLUMNS = ("name", "ours", "reference", "ratio", "bar", "holds")


def main() -> None:
    options = _options()
    lanes = [lane for lane in LANES if options.only in ("", lane.name)]
    rows = uvloop.run(_measure_all(lanes, options.messages, options.ours_only))
    _print(rows)
    _write(rows, options.messages)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    names = ["", *(lane.name for lane in LANES)]
    parser.add_argument("--only", default=os.environ.get("ONLY", ""), choices=names)
    parser.add_argument("--messages", type=int, default=3000, help="in each round")
    parser.add_argument("--ours-only", action="store_true", help="leave the reference out")
    return parser.parse_args()


async def _measure_all(lanes: list[Lane], messages: int, ours_only: bool) -> list[dict[str, Any]]:
    our_sink, their_sink = Sink(), Sink()
    service = Service.below_var("bench", await our_sink.listen())
    try:
        service.prepare()
        service.start_all(PROCESSES[:1])
        missing = honesty.before(service)
        service.start_all(PROCESSES[1:])
        postfix = _reference(service, await their_sink.listen())
        not_run = "left out" if ours_only else _start(postfix, service)
        sides = [_our_side(service, our_sink)]
        if not not_run:
            sides.append(_their_side(postfix, their_sink, sides[0]))
        # The message of the look at the service comes to the far end before any that counts.
        figures = [await measure(lane, messages, sides) for lane in lanes]
        missing += await _log(service, len(lanes) * (WARM_UP + ROUNDS * messages))
    finally:
        service.stop()
        postfix.stop()
    service.forget()
    not_run = not_run or "; ".join(missing)
    return [_row(lane, found, not_run) for lane, found in zip(lanes, figures, strict=True)]


async def _log(service: Service, messages: int) -> list[str]:
    """What the log lacks once the last answers are written."""
    for _ in range(50):
        if not honesty.after(service, messages):
            return []
        await asyncio.sleep(0.2)
    return honesty.after(service, messages)


def _postfix_home() -> Path:
    return engine_home("bench", engine_account()) / "postfix"


def _reference(service: Service, sink_port: int) -> Postfix:
    certificate, key = (service.environment[f"SMTP_TLS_{part}"] for part in ("CERT", "KEY"))
    return Postfix(_postfix_home(), sink_port, certificate, key)


def _start(postfix: Postfix, service: Service) -> str:
    """Start the reference; returns why it cannot be compared with, or nothing."""
    try:
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


def _their_side(postfix: Postfix, sink: Sink, ours: Side) -> Side:
    return Side(
        port=postfix.port,
        sink=sink,
        roots=postfix.roots,
        tls=ours.tls,
        server_name=ours.server_name,
    )


def _row(lane: Lane, figures: list[Figures], not_run: str) -> dict[str, Any]:
    ours = figures[0].medians()
    row: dict[str, Any] = {"name": lane.name, "ours": ours, "bar": lane.bar, "not_run": not_run}
    row["compares"] = "reply_ms_p99" if lane.paced else "rate"
    if not not_run:
        reference = figures[1].medians()
        ratio = ours["rate"] / reference["rate"]
        if lane.paced:
            ratio = reference["reply_ms_p99"] / ours["reply_ms_p99"]
        row |= {"reference": reference, "ratio": round(ratio, 2), "holds": ratio >= lane.bar}
    return row


def _print(rows: list[dict[str, Any]]) -> None:
    lines = [COLUMNS, *(_cells(row) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(COLUMNS))]
    for line in lines:
        print(" | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)))  # noqa: T201
    for row in rows:
        for side in ("ours", "reference"):
            if side in row:
                print(_detail(row["name"], side, row[side]))  # noqa: T201


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    ours, bar = _figure(row, "ours"), f">= {row['bar']}x"
    if row["not_run"]:
        return row["name"], ours, f"not run: {row['not_run']}", "-", bar, "not run"
    holds = "yes" if row["holds"] else "NO"
    return row["name"], ours, _figure(row, "reference"), f"{row['ratio']:.2f}x", bar, holds


def _figure(row: dict[str, Any], side: str) -> str:
    value = row[side][row["compares"]]
    return f"{value:.0f} msg/s" if row["compares"] == "rate" else f"p99 {value:.1f} ms"


def _detail(name: str, side: str, found: dict[str, Any]) -> str:
    parts = ", ".join(f"{part} {ms:.2f}" for part, ms in found["cpu_ms_by_process"].items())
    return (
        f"  {name} {side}: {found['cpu_ms_per_message']:.2f} CPU-ms a message ({parts}), "
        f"time to 250 p50 {found['reply_ms_p50']:.1f} ms, p99 {found['reply_ms_p99']:.1f} ms, "
        f"{found['duplicates']} duplicates, rounds {found['rates']} {' '.join(found['tls'])}"
    )


def _write(rows: list[dict[str, Any]], messages: int) -> None:
    RESULT.parent.mkdir(parents=True, exist_ok=True)
    about = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": f"{platform.machine()}, {os.cpu_count()} processors",
        "messages_a_round": messages,
    }
    RESULT.write_text(json.dumps({**about, "lanes": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
