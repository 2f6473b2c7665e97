# SPDX-License-Identifier: AGPL-3.0-or-later
"""Loads a module once; runs a program in a copy of itself for each directory that it is told.

Usage: python -m tests.warm PROGRAM MODULE. Answers each line with the exit status.
"""

from __future__ import annotations

import importlib
import os
import runpy
import sys
from pathlib import Path
from typing import NoReturn

CREATE = os.O_WRONLY | os.O_CREAT


def main(program: str, module: str) -> None:
    importlib.import_module(module)
    while place := sys.stdin.readline().rstrip("\n"):
        child = os.fork()
        if not child:
            _become(program, Path(place))
        _, status = os.waitpid(child, 0)
        os.write(1, b"%d\n" % os.waitstatus_to_exitcode(status))


def _become(program: str, place: Path) -> NoReturn:
    """Run the program with the three files of the directory as its standard streams."""
    for number, (name, flags) in enumerate((("in", os.O_RDONLY), ("out", CREATE), ("err", CREATE))):
        os.dup2(os.open(place / name, flags), number)
    sys.stdin, sys.stdout, sys.stderr = os.fdopen(0), os.fdopen(1, "w"), os.fdopen(2, "w", 1)
    status = 0
    try:
        runpy.run_module(program, run_name="__main__")
    except BaseException:  # noqa: BLE001 - the end of a program, which may tell it in its own way
        sys.excepthook(*sys.exc_info())
        status = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


if __name__ == "__main__":
    main(*sys.argv[1:])
