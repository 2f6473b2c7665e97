# SPDX-License-Identifier: AGPL-3.0-or-later
"""The short storm: everything is struck a few times, and each planted fault must be caught."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from config.stack.places import ROOT

pytestmark = [pytest.mark.storm, pytest.mark.timeout(300)]


def storm(result: Path, *options: str) -> tuple[int, list[str]]:
    """The exit status and the sentences about what did not hold."""
    command = [sys.executable, "-m", "tests.storm", "--mixed", "--seed=7", "--fault=short-lease"]
    answer = subprocess.run(
        [*command, f"--result={result}", *options], cwd=ROOT, capture_output=True, text=True
    )
    assert result.exists(), answer.stderr
    episodes = json.loads(result.read_text())["episodes"].values()
    return answer.returncode, [line for episode in episodes for line in episode["broken"]]


def test_nothing_is_lost_whatever_is_killed(tmp_path: Path):
    options = ("--messages=56", "--strikes=1", "--pause=2", "--drain=60")
    assert storm(tmp_path / "storm.json", *options) == (0, [])


@pytest.mark.parametrize(
    ("fault", "target", "found"),
    [
        ("ack-before-commit", "smtp", "lost"),
        ("no-lease-expiry", "delivery-child", "waiting at the end"),
        ("delete-before-send", "delivery-child", "lost"),
    ],
)
def test_a_planted_fault_is_caught(tmp_path: Path, fault: str, target: str, found: str):
    options = (f"--fault={fault}", f"--only={target}", "--messages=30", "--strikes=2")
    status, broken = storm(tmp_path / "storm.json", *options, "--drain=10", "--slowest=1")
    assert status == 1
    assert any(sentence.startswith(found) for sentence in broken)
