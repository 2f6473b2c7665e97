# SPDX-License-Identifier: AGPL-3.0-or-later
"""Plant each fault in a copy of the tree, or those of behaviours by NUMBER.

Ends with status 1 when one goes unseen. Needs the engines of `python -m config.stack exec`.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.planted import trying
from tests.planted.fault import Fault, planted
from tests.planted.tables import FAULTS

# Lines of a run that are shown when it went wrong.
SHOWN = 25


def chosen(numbers: Sequence[int]) -> list[Fault]:
    """Return the faults of these behaviours, all of them without a number."""
    return [fault for fault in FAULTS if not numbers or fault.behaviour in numbers]


def try_all(tree: Path, faults: Sequence[Fault]) -> int:
    """Try every fault; returns how many went unseen, tests that fail by themselves included."""
    results, printed = trying.run(tree, [fault.test for fault in faults])
    sound = [fault for fault in faults if trying.passes(results, fault.test)]
    for fault in faults:
        if fault not in sound:
            print(f"{fault.behaviour:3}  NOT SOUND  {fault.test}")
    if len(sound) < len(faults):
        show(printed)
    unseen = sum(not is_seen(tree, fault) for fault in sound)
    print(f"{len(sound) - unseen} of {len(faults)} planted faults were noticed")
    return unseen + len(faults) - len(sound)


def is_seen(tree: Path, fault: Fault) -> bool:
    """Plant one fault and say whether its test noticed."""
    began = time.monotonic()
    with planted(tree, fault):
        results, printed = trying.run(tree, [fault.test], "--maxfail=1", anew=fault.is_migration)
    seen = trying.notices(results, fault.test)
    took = time.monotonic() - began
    word = "noticed" if seen else "UNSEEN "
    print(f"{fault.behaviour:3}  {word}  {took:5.1f} s  {fault.path}  {fault.test}", flush=True)
    if not seen:
        show(printed)
    return seen


def show(printed: str) -> None:
    """Print the end of a run."""
    print("\n".join(f"     | {line}" for line in printed.splitlines()[-SHOWN:]), flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.planted", description=__doc__)
    parser.add_argument("numbers", nargs="*", type=int, metavar="NUMBER", help="of a behaviour")
    faults = chosen(parser.parse_args().numbers)
    if not faults:
        print("no fault is planted for that")
        return 1
    with TemporaryDirectory(prefix="brevdue-planted-") as directory:
        return 1 if try_all(trying.copy_to(Path(directory)), faults) else 0


if __name__ == "__main__":
    sys.exit(main())
