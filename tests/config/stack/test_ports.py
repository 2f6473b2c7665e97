# SPDX-License-Identifier: AGPL-3.0-or-later
"""Ports that people see."""

from __future__ import annotations

import socket

import pytest

from config.stack.failure import StackError
from config.stack.ports import PORTS, chosen_ports, require_free


def test_ports_have_their_documented_defaults():
    defaults = {"WEB_PORT": 8000, "SMTP_PORT": 2525, "SMTPS_PORT": 4650, "MAILBOX_PORT": 1025}
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
