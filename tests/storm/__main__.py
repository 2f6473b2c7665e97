# SPDX-License-Identifier: AGPL-3.0-or-later
"""Kill everything in turn while mail flows; print the figures, exit 1 when something does not hold.

Usage: python -m tests.storm [--seed N] [--only TARGET] [--messages N] [--strikes N] [--mixed]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
import time
from typing import Any

from config.stack.places import ROOT
from tests.rig.service import Service
from tests.storm.episode import Episode, Plan
from tests.storm.farend import FarEnd
from tests.storm.faults import FAULTS, planting
from tests.storm.ledgers import Verdict
from tests.storm.targets import Target, targets

RESULT = ROOT / "var" / "storm" / "latest.json"


def main() -> int:
    options = _options()
    print(f"seed {options.seed}", flush=True)
    found: dict[str, Verdict] = {}
    for name, strikes in _episodes(options).items():
        found[name] = asyncio.run(_episode(name, strikes, options))
        _print(name, found[name])
    _write(found, options)
    return 1 if any(verdict.broken for verdict in found.values()) else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.storm", description=__doc__)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--only", default="", choices=["", *(t.name for t in targets(0))])
    parser.add_argument("--messages", type=int, default=500, help="of each episode")
    parser.add_argument("--strikes", type=int, default=20, help="of each target")
    parser.add_argument("--mixed", action="store_true", help="all targets in one episode")
    parser.add_argument("--pause", type=float, default=60.0, help="longest stop of Valkey, s")
    parser.add_argument("--drain", type=float, default=240.0, help="for the queue to empty, s")
    parser.add_argument("--slowest", type=float, default=0.08, help="of the far end's answers, s")
    parser.add_argument("--fault", action="append", default=[], choices=FAULTS)
    parser.add_argument("--result", default=str(RESULT))
    return parser.parse_args()


def _episodes(options: argparse.Namespace) -> dict[str, list[Target]]:
    chosen = [t for t in targets(options.pause) if options.only in ("", t.name)]
    if not options.mixed:
        return {t.name: [t] * min(options.strikes, t.most) for t in chosen}
    mixed = chosen * options.strikes
    random.Random(options.seed).shuffle(mixed)
    return {"mixed": mixed}


async def _episode(name: str, strikes: list[Target], options: argparse.Namespace) -> Verdict:
    seed = f"{options.seed}.{name}"
    service = Service.below_var("storm", 0, planting(options.fault))
    far_end = FarEnd(service.home / "far-end", random.Random(seed), options.slowest)
    service.route_port = await far_end.listen()
    try:
        await asyncio.to_thread(service.prepare)
        await asyncio.to_thread(service.start_all)
        plan = Plan(strikes, options.messages, options.drain)
        verdict = await Episode(service, far_end, plan, seed).run()
    finally:
        await asyncio.to_thread(service.stop)
    if verdict.broken:
        print(f"its directory stays: {service.home}")
    else:
        service.forget()
    return verdict


def _print(name: str, verdict: Verdict) -> None:
    print(f"\n{name}")
    for figure, value in verdict.figures.items():
        print(f"  {figure:<40} {value}")
    for line in verdict.strikes:
        print(f"  {line}")
    for sentence in verdict.broken:
        print(f"  BROKEN: {sentence}")
    sys.stdout.flush()


def _write(found: dict[str, Verdict], options: argparse.Namespace) -> None:
    episodes: dict[str, Any] = {
        name: {"figures": verdict.figures, "broken": verdict.broken, "strikes": verdict.strikes}
        for name, verdict in found.items()
    }
    path = ROOT / options.result
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"seed": options.seed, "episodes": episodes}, indent=1) + "\n")


if __name__ == "__main__":
    sys.exit(main())
