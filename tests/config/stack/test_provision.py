# SPDX-License-Identifier: AGPL-3.0-or-later
"""Installing system packages only where that is allowed."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from config.stack import corpus
from config.stack import provision as room
from config.stack.places import ROOT
from config.stack.provision import Need, install, provision

ABSENT = Need(("no-such-program",), "no-such-package", "the test of nothing")


@pytest.fixture
def bin_only(tmp_path, monkeypatch):
    """A machine with these scripts as its only programs; they write down what they are told."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(room, "POLICY", tmp_path / "policy-rc.d")

    def add(name, body=""):
        script = tmp_path / name
        script.write_text(f'#!/bin/sh\necho "{name} $*" >> {tmp_path}/calls\n{body}\n')
        script.chmod(0o755)
        return tmp_path / "calls"

    return add


def test_need_is_met_by_any_of_its_programs(bin_only):
    bin_only("second")
    assert Need(("first", "second"), "package", "").met
    assert not ABSENT.met


def test_need_of_a_library_is_met_when_programs_find_it():
    assert room._library("c", "libc6").met
    assert not room._library("no-such-library", "no-such-package").met


def test_plain_user_without_sudo_installs_nothing(bin_only, monkeypatch, capsys):
    calls = bin_only("apt-get")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setitem(room.NEEDS, "test", (ABSENT,))
    monkeypatch.setattr(corpus, "fetch", lambda: False)

    assert provision("test") == [ABSENT]

    said = capsys.readouterr().out
    assert "Not run: the test of nothing" in said
    assert "Not run: the corpus of returned mail" in said
    assert not calls.exists()


def test_plain_user_whose_sudo_asks_installs_only_with_ci(bin_only, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    bin_only("apt-get")
    bin_only("sudo", "exit 1")
    monkeypatch.delenv("CI", raising=False)
    assert install(["no-such-package"]) is False
    monkeypatch.setenv("CI", "1")
    assert install(["no-such-package"]) is True


def test_daemons_are_forbidden_during_an_installation_and_only_then(
    bin_only, monkeypatch, tmp_path
):
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    for name in ("tee", "chmod", "rm", "env"):
        (tmp_path / name).symlink_to(f"/usr/bin/{name}")
    policy = tmp_path / "policy-rc.d"
    calls = bin_only("apt-get", f"{policy} >> {tmp_path}/verdicts; echo $? >> {tmp_path}/verdicts")

    install(["no-such-package"])

    assert (tmp_path / "verdicts").read_text() == "101\n101\n"
    assert "install --no-install-recommends no-such-package" in calls.read_text()
    assert not policy.exists()


def test_somebody_elses_policy_is_left_alone(bin_only, monkeypatch, tmp_path):
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    (tmp_path / "env").symlink_to("/usr/bin/env")
    bin_only("apt-get")
    policy = tmp_path / "policy-rc.d"
    policy.write_text("theirs")

    install(["no-such-package"])

    assert policy.read_text() == "theirs"


def test_provision_needs_only_the_standard_library():
    code = "import sys; import config.stack.virtualenv; print('django' in sys.modules)"
    answer = subprocess.run(
        [sys.executable, "-S", "-c", code], capture_output=True, text=True, cwd=ROOT
    )
    assert answer.stdout == "False\n", answer.stderr
