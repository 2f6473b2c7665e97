# SPDX-License-Identifier: AGPL-3.0-or-later
"""Ports that people see."""

from __future__ import annotations

import contextlib
import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest

from config.stack.failure import StackError
from config.stack.places import ROOT
from config.stack.ports import PORTS, chosen_ports, first_look, require_free


def test_ports_have_their_documented_defaults():
    numbers = (8000, 2525, 4650, 2526, 1025)
    defaults = dict(zip(PORTS, numbers, strict=True))
    assert chosen_ports({}) == chosen_ports(dict.fromkeys(PORTS, "")) == defaults


def test_port_moves_with_its_setting():
    assert chosen_ports({"SMTP_PORT": "2600"})["SMTP_PORT"] == 2600


@pytest.mark.parametrize("value", ["mail", "0", "65536", "-1", "25.5"])
def test_port_refuses_what_is_no_port(value):
    with pytest.raises(StackError, match="SMTP_PORT"):
        chosen_ports({"SMTP_PORT": value})


def test_ports_refuse_the_same_number_twice():
    with pytest.raises(StackError, match=r"WEB_PORT and MAILBOX_PORT|MAILBOX_PORT and WEB_PORT"):
        chosen_ports({"MAILBOX_PORT": "8000"})


def test_busy_port_is_reported_with_the_setting_that_moves_it():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(StackError, match=rf"{port}, wanted by the SMTP server .*SMTP_PORT="):
            require_free({"SMTP_PORT": port})
    require_free({"SMTP_PORT": port})


@pytest.fixture
def busy() -> Iterator[str]:
    """A port that somebody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield str(server.getsockname()[1])


@pytest.fixture
def free() -> dict[str, str]:
    """Ports that nobody listens on."""
    with contextlib.ExitStack() as probes:
        sockets = [probes.enter_context(socket.socket()) for _ in PORTS]
        for probe in sockets:
            probe.bind(("127.0.0.1", 0))
        numbers = [str(probe.getsockname()[1]) for probe in sockets]
    return dict(zip(PORTS, numbers, strict=True))


def test_first_look_names_a_busy_port(busy, free, tmp_path, capsys):
    assert first_look(free, tmp_path) == 0
    assert first_look(free | {"SMTP_PORT": busy}, tmp_path) == 1
    assert f"{busy}, wanted by the SMTP server" in capsys.readouterr().err


@pytest.mark.parametrize("line", ["SMTP_PORT={}", "export SMTP_PORT='{}'", 'SMTP_PORT="{}" # mine'])
def test_first_look_reads_the_operators_file(line, busy, free, tmp_path):
    moved = free.pop("SMTP_PORT")
    (tmp_path / ".env").write_text(f"#SMTP_PORT=1\n{line.format(busy)}\n")
    assert first_look(free, tmp_path) == 1
    assert first_look(free | {"SMTP_PORT": moved}, tmp_path) == 0


def test_first_look_leaves_later_starts_to_the_launcher(busy, free, tmp_path):
    (tmp_path / "var").mkdir()
    (tmp_path / "var" / "state.json").write_text("{}")
    assert first_look(free | {"SMTP_PORT": busy}, tmp_path) == 0


def test_first_look_needs_nothing_installed_and_comes_first(free):
    command = [sys.executable, "-S", "-m", "config.stack.ports"]
    answer = subprocess.run(command, cwd=ROOT, env=os.environ | free, capture_output=True)
    assert answer.returncode == 0, answer.stderr
    recipe = re.search(
        r"^\.venv/run\.stamp:.*\n((?:\t.*\n)+)", (ROOT / "Makefile").read_text(), re.M
    )
    assert recipe is not None
    modules = re.findall(r"-m (config\.stack\.\w+)", recipe[1])
    assert modules == ["config.stack.ports", "config.stack.virtualenv"]
