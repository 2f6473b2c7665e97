# SPDX-License-Identifier: AGPL-3.0-or-later
"""Arguments of the launcher: `python -m config.stack exec -- COMMAND...`."""

from __future__ import annotations

import argparse
import sys

from config.stack.failure import StackError
from config.stack.throwaway import run_with_engines


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m config.stack", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    execute = verbs.add_parser("exec", help="run a command with engines of its own")
    execute.add_argument("command", nargs=argparse.REMAINDER)
    chosen = parser.parse_args(arguments)
    command = [word for i, word in enumerate(chosen.command) if (i, word) != (0, "--")]
    if not command:
        parser.error("exec needs a command")
    try:
        return run_with_engines(command)
    except StackError as problem:
        print(f"\n{problem}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
