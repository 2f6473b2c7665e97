# SPDX-License-Identifier: AGPL-3.0-or-later
"""The processes of the Procfile under honcho, with an orderly end whoever dies first."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Mapping
from typing import Any

from honcho.environ import parse_procfile
from honcho.manager import Manager
from honcho.process import Popen, Process

from config.stack.children import die_with_parent
from config.stack.places import ROOT

# Marks our processes, so that a later launcher recognises what a killed one left.
MARK = "BREVDUE_STACK"
MAILBOX = (
    "KEYRING_URL= DATABASE_ROLE=none DATABASE_URL= WEB_DATABASE_URL= RELAY_DATABASE_URL= "
    "DUTY_DATABASE_URL= BACKUP_DATABASE_URL= python manage.py mailbox"
)


class _Signals:
    """How the manager ends a process: asked alone, killed with all its children.

    A celery parent asked alone lets its children finish; asked with them, they die at once with
    their work in hand.
    """

    def terminate(self, pid: int) -> None:
        _send(os.kill, pid, signal.SIGTERM)

    def kill(self, pid: int) -> None:
        _send(os.killpg, pid, signal.SIGKILL)


def _send(call: Any, pid: int, number: signal.Signals) -> None:
    try:
        call(pid, number)
    except ProcessLookupError:
        return


class _TiedProcess(Process):  # type: ignore[misc] # honcho has no types
    """A process that the kernel ends when honcho's reader of its output is gone."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._manager = os.getpid()
        self._child_ctor = self._popen

    def run(self, *arguments: Any, **options: Any) -> None:
        # Here is the reader already, a process of its own between the manager and the program.
        die_with_parent(signal.SIGKILL, parent=self._manager)()
        super().run(*arguments, **options)

    @staticmethod
    def _popen(command: str, **options: Any) -> Popen:
        return Popen(command, preexec_fn=die_with_parent(signal.SIGTERM), **options)


class _TiedManager(Manager):  # type: ignore[misc] # honcho has no types
    def __init__(self) -> None:
        super().__init__()
        self._procmgr = _Signals()
        self._process_ctor = _TiedProcess

    def terminate(self) -> None:
        """End all; waits until honcho has learned every pid from its readers."""
        if self._all_started():
            super().terminate()
        else:
            signal.signal(signal.SIGALRM, lambda *_: self.terminate())
            signal.setitimer(signal.ITIMER_REAL, 0.05)


def run_processes(processes: Mapping[str, str]) -> int:
    """Run until one of them ends or a signal comes; returns the status of the first to end."""
    manager = _TiedManager()
    for name, command in processes.items():
        # exec: the signal must reach the program, not a shell in front of it.
        manager.add_process(
            name, f"exec env {command}", env=process_environment(os.environ), cwd=ROOT
        )
    manager.loop()
    return int(manager.returncode or 0)


def commands() -> dict[str, str]:
    """The Procfile's processes and the development mailbox."""
    found = dict(parse_procfile((ROOT / "Procfile").read_text()).processes)
    return {**found, "mailbox": MAILBOX}


def process_environment(environment: Mapping[str, str]) -> dict[str, str]:
    programs = os.path.dirname(sys.executable)
    path = programs + os.pathsep + environment.get("PATH", os.defpath)
    return {**environment, "PATH": path, "PYTHONUNBUFFERED": "1", MARK: str(ROOT)}
