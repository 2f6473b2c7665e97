# SPDX-License-Identifier: AGPL-3.0-or-later
"""Hurt everything in turn while mail flows; print the figures, exit 1 when something does not hold.

Exit 77 when a target that was named cannot be tried here.

Usage: python -m tests.storm [--seed N] [--seeds N] [--route KIND] [--only TARGET …]
    [--messages N] [--strikes N]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import sys
import time
from typing import Any

from config.stack.places import ROOT
from tests.storm.episode import Episode, Plan
from tests.storm.faults import AIDS, FAULTS, NAMES, planting
from tests.storm.ledgers import Verdict
from tests.storm.onward import ROUTES
from tests.storm.stage import EPOCHS, staged
from tests.storm.strikes import can_mount
from tests.storm.targets import Target, chosen, lasting, mixed, names, quick

RESULT = ROOT / "var" / "storm" / "latest.json"
NEEDS_ROOT = "not run: disk (needs a file system of its own, which only root can mount)"
LEASE = 6.0  # seconds, where it is short
# Poison costs four leases, one after the other: minutes, if they were not short.
POISON = ("poison", "short-lease")
APART = "STORM_APART"
# What was asked for by name cannot be tried here: neither held nor broken.
NOT_RUN = 77


def main() -> int:
    options = _options()
    _stand_apart()
    if _fills(_chosen(options)) and APART not in os.environ:
        print(NEEDS_ROOT)
        return NOT_RUN
    found: dict[int, Verdict] = {}
    for seed in range(options.seed, options.seed + options.seeds):
        print(f"\nseed {seed}", flush=True)
        found[seed] = asyncio.run(_episode(seed, options))
        _print(found[seed])
        _write(found, options)
    return _conclude(found, options)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.storm", description=__doc__)
    found = [one for route in ROUTES for one in (*quick(route), *names(route), *lasting(0, 0))]
    known = sorted({target.name for target in found})
    parser.add_argument("--seed", type=int, default=int(time.time()), help="of the first run")
    parser.add_argument("--seeds", type=int, default=1, help="runs, each with the next seed")
    parser.add_argument("--only", action="append", default=[], choices=known)
    parser.add_argument("--route", default="own", choices=ROUTES, help="kind, of all mail")
    parser.add_argument("--messages", type=int, default=2000, help="of each run")
    parser.add_argument("--strikes", type=int, default=1, help="of each target")
    parser.add_argument("--pause", type=float, default=60.0, help="of what is down for long, s")
    parser.add_argument("--drain", type=float, default=600.0, help="for the queue to empty, s")
    parser.add_argument("--patience", type=float, default=1.0, help="times the bars of time")
    parser.add_argument("--slowest", type=float, default=0.08, help="of the far end's answers, s")
    parser.add_argument("--fault", action="append", default=[], choices=(*AIDS, *FAULTS))
    parser.add_argument("--result", default=str(RESULT))
    return parser.parse_args()


def _stand_apart() -> None:
    """Mount where nobody else sees it, and where it goes with the last process of the storm."""
    if APART not in os.environ and can_mount():
        program = ["unshare", "--mount", sys.executable, "-m", "tests.storm", *sys.argv[1:]]
        os.execvpe(program[0], program, {**os.environ, APART: "1"})


def _strikes(seed: int, options: argparse.Namespace) -> list[Target]:
    if not options.only:
        return mixed(seed, options.strikes, options.pause, LEASE, options.route)
    found = _chosen(options) * options.strikes
    random.Random(seed).shuffle(found)
    # What ends the run comes last.
    return sorted(found, key=lambda target: target.ends)


def _chosen(options: argparse.Namespace) -> list[Target]:
    return chosen(options.only, options.pause, LEASE, options.route)


def _fills(strikes: list[Target]) -> bool:
    return any(target.fills for target in strikes)


async def _episode(seed: int, options: argparse.Namespace) -> Verdict:
    strikes = _strikes(seed, options)
    fills = _fills(strikes)
    if fills and APART not in os.environ:
        print(NEEDS_ROOT)
        strikes, fills = [target for target in strikes if not target.fills], False
    poison = POISON if any(target.name == "poison" for target in strikes) else ()
    looked_up = (NAMES,) if options.route == "esp" else ()
    faults = [*options.fault, *poison, *looked_up]
    epoch = EPOCHS[seed % len(EPOCHS)]
    print(f"strikes: {', '.join(t.name for t in strikes)}; begins {epoch or 'now'}", flush=True)
    extra = planting(faults)
    async with staged(
        str(seed), extra, options.slowest, epoch, fillable=fills, route=options.route
    ) as stage:
        plan = Plan(strikes, options.messages, options.drain, options.patience)
        verdict = await Episode(stage, plan).run()
    if verdict.broken:
        print(f"its directory stays: {stage.service.home}")
    else:
        stage.service.forget()
    return verdict


def _print(verdict: Verdict) -> None:
    for figure, value in verdict.figures.items():
        print(f"  {figure:<44} {value}")
    for line in verdict.strikes:
        print(f"  {line}")
    for sentence in verdict.broken:
        print(f"  BROKEN: {sentence}")
    sys.stdout.flush()


def _conclude(found: dict[int, Verdict], options: argparse.Namespace) -> int:
    broken = [seed for seed, verdict in found.items() if verdict.broken]
    print(f"\n{len(found) - len(broken)} of {len(found)} runs hold")
    for seed in broken:
        more = f"--messages {options.messages} --route {options.route}"
        print(f"again: python -m tests.storm --seed {seed} {more}")
    return 1 if broken else 0


def _write(found: dict[int, Verdict], options: argparse.Namespace) -> None:
    runs: dict[str, Any] = {
        str(seed): {"figures": one.figures, "broken": one.broken, "strikes": one.strikes}
        for seed, one in found.items()
    }
    path = ROOT / options.result
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"runs": runs}, indent=1) + "\n")


if __name__ == "__main__":
    sys.exit(main())
