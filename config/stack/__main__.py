# SPDX-License-Identifier: AGPL-3.0-or-later
"""Arguments of the launcher: python -m config.stack VERB."""

from __future__ import annotations

import argparse
import sys

from config.stack.catalogues import compile_catalogues
from config.stack.failure import StackError
from config.stack.processes import commands, run_processes
from config.stack.provision import NEEDS, provision
from config.stack.reset import reset
from config.stack.running import run
from config.stack.throwaway import run_with_engines


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m config.stack", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    verbs.add_parser("run", help="everything in the foreground, until Ctrl-C")
    verbs.add_parser("demo", help="the same, then a clean stop; status 0 when every step held")
    verbs.add_parser("reset", help="forget var/")
    verbs.add_parser("processes", help="the processes of the Procfile alone (run starts this)")
    verbs.add_parser("messages", help="compile the message catalogues")
    needs = verbs.add_parser("provision", help="install missing programs where that is allowed")
    needs.add_argument("purpose", choices=sorted(NEEDS))
    execute = verbs.add_parser("exec", help="run a command with engines of its own")
    execute.add_argument("command", nargs=argparse.REMAINDER)
    return parser


def main(arguments: list[str]) -> int:
    chosen = _parser().parse_args(arguments)
    try:
        return _act(chosen)
    except StackError as problem:
        print(f"\n{problem}", file=sys.stderr)
        return 1


def _act(chosen: argparse.Namespace) -> int:
    match chosen.verb:
        case "run" | "demo":
            return run(stay=chosen.verb == "run")
        case "processes":
            return run_processes(commands())
        case "exec":
            compile_catalogues()
            return run_with_engines(_command(chosen.command))
        case "reset":
            reset()
        case "provision":
            provision(chosen.purpose)
        case "messages":
            compile_catalogues()
    return 0


def _command(words: list[str]) -> list[str]:
    command = words[1:] if words[:1] == ["--"] else words
    if not command:
        raise StackError("exec needs a command: python -m config.stack exec -- COMMAND...")
    return command


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
