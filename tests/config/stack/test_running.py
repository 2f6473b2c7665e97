# SPDX-License-Identifier: AGPL-3.0-or-later
"""The whole stack of a copy of this checkout: first and second start, stop, kill, broken step."""

from __future__ import annotations

import json
import os
import shutil
import signal
import smtplib
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from config.stack.children import command_line, wait_until
from config.stack.leftovers import marked
from config.stack.places import ROOT, SYSTEM_STATE, checkout_id
from config.stack.ports import PORTS
from config.stack.state import free_port

pytestmark = [pytest.mark.full, pytest.mark.timeout(300)]
# Nothing of the engines and settings that this test itself runs on.
KEPT = ("PATH", "HOME", "COVERAGE_PROCESS_CONFIG")


class Checkout:
    """A copy of the working tree with ports of its own."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.ports = {name: str(free_port()) for name in PORTS}
        _copy_working_tree(root)

    @property
    def environment(self) -> dict[str, str]:
        return {name: os.environ[name] for name in KEPT if name in os.environ} | self.ports

    def launch(self, verb: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "config.stack", verb],
            cwd=self.root,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    @property
    def facts(self):
        return json.loads((self.root / "var" / "demo.json").read_text())

    def processes(self) -> list[int]:
        """What runs for this checkout: marked processes, and engines by their own pid files."""
        data = (self.root / "var" / "engines").resolve()
        found = marked(self.root)
        for pid_file in (data / "postgresql" / "postmaster.pid", data / "valkey" / "valkey.pid"):
            if pid_file.exists():
                pid = int(pid_file.read_text().split()[0])
                found += [pid] if command_line(pid) else []
        return found


def _copy_working_tree(root: Path) -> None:
    listing = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listing, cwd=ROOT, capture_output=True, check=True).stdout
    for name in filter(None, names.decode().split("\0")):
        if (ROOT / name).is_file():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, root / name)


@pytest.fixture
def checkout(tmp_path: Path) -> Iterator[Checkout]:
    made = Checkout(tmp_path / "checkout")
    yield made
    for pid in made.processes():
        os.kill(pid, signal.SIGKILL)
    shutil.rmtree(SYSTEM_STATE / checkout_id(made.root), ignore_errors=True)


def _until_it_stays(launcher: subprocess.Popen[str]) -> str:
    assert launcher.stdout
    lines = []
    for line in launcher.stdout:
        lines.append(line)
        if "Ctrl-C stops everything" in line:
            return "".join(lines)
    raise AssertionError("".join(lines))


def _send(checkout: Checkout) -> None:
    smtp = checkout.facts["smtp"]
    trust = ssl.create_default_context(cafile=checkout.root / smtp["ca_file"])
    with smtplib.SMTP_SSL(smtp["host"], smtp["tls_port"], context=trust) as client:
        client.login(smtp["username"], smtp["password"])
        sender = smtp["sender"]
        client.sendmail(sender, ["erik@modtager.example"], f"From: {sender}\r\n\r\nhej\r\n")


def test_run_stays_stops_in_time_and_starts_again_with_its_data(checkout):
    with checkout.launch("run") as launcher:
        told = _until_it_stays(launcher)
        assert "FAILED" not in told
        first = checkout.facts
        assert checkout.processes()
        asked = time.monotonic()
        launcher.send_signal(signal.SIGINT)
        assert launcher.wait(timeout=10) == 0
        assert checkout.processes() == [], f"after {time.monotonic() - asked:.1f} s"

    with checkout.launch("run") as launcher:
        assert wait_until(lambda: _accepts(checkout), seconds=15), "no 250 within 15 s"
        _until_it_stays(launcher)
        assert checkout.facts == first
        launcher.terminate()
        assert launcher.wait(timeout=10) == 0


def _accepts(checkout: Checkout) -> bool:
    try:
        _send(checkout)
    except (OSError, smtplib.SMTPException):
        return False
    return True


def test_run_recovers_after_sigkill_of_the_launcher(checkout):
    with checkout.launch("run") as launcher:
        _until_it_stays(launcher)
        launcher.kill()
    with checkout.launch("run") as launcher:
        assert "FAILED" not in _until_it_stays(launcher)
        launcher.kill()
    assert wait_until(lambda: not checkout.processes(), seconds=10)


def test_run_refuses_to_start_twice_and_starts_a_killed_engine_again(checkout):
    with checkout.launch("run") as launcher:
        _until_it_stays(launcher)
        with checkout.launch("run") as second:
            assert second.wait(timeout=20) == 1
        data = (checkout.root / "var" / "engines" / "postgresql").resolve()
        os.kill(int((data / "postmaster.pid").read_text().split()[0]), signal.SIGKILL)
        assert wait_until(lambda: _accepts(checkout), seconds=30)
        launcher.send_signal(signal.SIGINT)
        assert launcher.wait(timeout=10) == 0


FAULTS = {
    "content left": ("config/demo/mail", "if Content.objects", "if not Content.objects"),
    "bytes altered": ("config/demo/mail", ".endswith(sent)", '.endswith(sent + b"x")'),
    "the customer's signature again": (
        "dpa/sealing",
        "_bring_into_force(pk, sealed, now)",
        "_bring_into_force(pk, bytes(row.documents.get(kind=Kind.SIGNED).content), now)",
    ),
    "sending not opened": ("dpa/sealing", "        _allow_sending(row.organisation)\n", ""),
    "other octets handed out": (
        "dpa/views/agreements",
        "bytes(row.latest_document().content)",
        'bytes(row.latest_document().content) + b"x"',
    ),
    "another's data": (
        "config/demo/duties",
        'facts["owner"]["email"])\n    _keep',
        '"nobody")\n    _keep',
    ),
}


def _plant(checkout, module, before, after):
    path = checkout.root / f"{module}.py"
    source = path.read_text()
    assert before in source
    path.write_text(source.replace(before, after))


@pytest.mark.parametrize("fault", ["", *FAULTS])
def test_demo_holds_and_fails_when_a_step_does_not(checkout, fault):
    if fault:
        _plant(checkout, *FAULTS[fault])
        _plant(checkout, "config/demo/steps", "PATIENCE = 60.0", "PATIENCE = 5.0")
    with checkout.launch("demo") as launcher:
        told, _ = launcher.communicate(timeout=240)
    assert (launcher.returncode == 0) == (not fault), told
    assert checkout.processes() == []
