# SPDX-License-Identifier: AGPL-3.0-or-later
"""The short storm: what is over in seconds is struck once; each planted fault must be caught."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from config.stack.places import ROOT
from tests.storm import __main__ as program

pytestmark = [pytest.mark.storm, pytest.mark.timeout(900)]

TARGETS = (
    "smtp",
    "delivery-parent",
    "delivery-child",
    "postgresql",
    "valkey",
    "upgrade",
    "client-line",
    "hop",
    "clock",
)

# The judge is tried on each kind of fault in test_ledgers.py; here it is tried on a service.
FULL = pytest.mark.full


def storm(
    result: Path, targets: Sequence[str], faults: Sequence[str] = (), *options: str
) -> tuple[int, list[str]]:
    """The exit status and the sentences about what did not hold."""
    command = [sys.executable, "-m", "tests.storm", "--seed=7", f"--result={result}", *options]
    # How fast a service comes back is judged by `make storm`, where nothing else runs.
    command += ["--patience=6", *(f"--only={name}" for name in targets)]
    command += [f"--fault={name}" for name in ("short-lease", "quick-watch", *faults)]
    answer = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if answer.returncode == program.NOT_RUN:
        pytest.skip(answer.stdout.strip())
    assert result.exists(), answer.stderr
    runs = json.loads(result.read_text())["runs"].values()
    return answer.returncode, [line for run in runs for line in run["broken"]]


def caught(broken: Sequence[str], found: Sequence[str]) -> list[str]:
    return [name for name in found if any(line.startswith(name) for line in broken)]


def test_nothing_is_lost_whatever_is_hurt(tmp_path: Path):
    result = tmp_path / "storm.json"
    assert storm(result, TARGETS, (), "--messages=70", "--drain=300") == (0, [])


@pytest.mark.parametrize(
    ("fault", "target", "found"),
    [
        ("ack-before-commit", "smtp", "lost"),
        pytest.param("no-lease-expiry", "delivery-child", "waiting at the end", marks=FULL),
        pytest.param("delete-before-send", "delivery-child", "lost", marks=FULL),
    ],
)
def test_a_planted_fault_is_caught(tmp_path: Path, fault: str, target: str, found: str):
    options = ("--messages=45", "--strikes=2", "--drain=10", "--slowest=1")
    status, broken = storm(tmp_path / "storm.json", [target], [fault], *options)
    assert status == 1
    assert caught(broken, [found]) == [found]


@pytest.mark.full
def test_faults_of_routes_sandbox_and_schedule_are_caught_beside_each_other(tmp_path: Path):
    faults = ("any-route", "sandbox-leaves", "retry-at-once")
    options = ("--messages=60", "--drain=10")
    status, broken = storm(tmp_path / "storm.json", ["hop"], faults, *options)
    # The content of the sandbox does not even open, so it stays there all the same.
    found = [
        "over another organisation's route",
        "of the sandbox, not called so",
        "tries too early",
    ]
    assert status == 1
    assert caught(broken, found) == found


@pytest.mark.full
@pytest.mark.parametrize(
    ("target", "faults", "found"),
    [
        ("poison", ("no-quarantine",), "alert mail-quarantined"),
        ("poison", ("mute-alerts",), "alert mail-unopened"),
        ("beat-silent", ("mute-alerts",), "alert beat-silent"),
        ("upgrade", ("hasty-stop",), "dropped after 354"),
    ],
)
def test_a_fault_of_alerts_quarantine_or_stop_is_caught(
    tmp_path: Path, target: str, faults: Sequence[str], found: str
):
    # A stop meets somebody in the middle of a message while mail flows.
    messages = 600 if target == "upgrade" else 80
    options = (f"--messages={messages}", "--drain=60")
    status, broken = storm(tmp_path / "storm.json", [target], faults, *options)
    assert status == 1
    assert caught(broken, [found]) == [found]


NAMES = {
    "own": ("dns-servfail", "dns-timeout", "dns-nxdomain", "dns-flip"),
    "direct": ("dns-servfail", "dns-timeout", "dns-never", "dns-flip"),
    "esp": ("dns-servfail", "dns-timeout", "dns-nxdomain"),
}


@pytest.mark.full
@pytest.mark.parametrize("route", NAMES)
def test_what_may_pass_ends_no_mail_by_any_kind_of_route(tmp_path: Path, route: str):
    """Next hops that fail in every way (F7), and names that do (F8)."""
    options = (f"--route={route}", "--messages=120", "--drain=300")
    found = storm(tmp_path / "storm.json", ["hop", *NAMES[route]], (), *options)
    assert found == (0, [])


@pytest.mark.full
@pytest.mark.parametrize("route", NAMES)
def test_a_name_that_ends_mail_is_caught(tmp_path: Path, route: str):
    options = (f"--route={route}", "--messages=40", "--drain=60")
    faults = ["names-end-mail"]
    status, broken = storm(tmp_path / "storm.json", ["dns-servfail"], faults, *options)
    assert status == 1
    assert caught(broken, ["ended without need"]) == ["ended without need"]


@pytest.mark.full
@pytest.mark.parametrize("target", ["poison", "beat-silent", "forty-days", "disk"])
def test_nothing_is_lost_over_what_lasts(tmp_path: Path, target: str):
    options = ("--messages=80", "--drain=200")
    assert storm(tmp_path / "storm.json", [target], (), *options) == (0, [])


def test_what_cannot_be_tried_here_is_not_called_held(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr(sys, "argv", ["storm", "--only=disk", "--only=smtp"])
    monkeypatch.setattr(program, "can_mount", lambda: False)
    monkeypatch.delenv(program.APART, raising=False)
    assert program.main() == program.NOT_RUN
    assert capsys.readouterr().out.strip() == program.NEEDS_ROOT
