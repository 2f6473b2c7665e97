# SPDX-License-Identifier: AGPL-3.0-or-later
"""Ports and secrets that survive a restart."""

from __future__ import annotations

import socket
import stat

from config.stack.state import State, port_is_free, write_private


def test_state_keeps_secrets_and_ports_between_starts(tmp_path):
    first = State(tmp_path / "state.json")
    secret, port = first.secret("a"), first.port("p")

    again = State(tmp_path / "state.json")

    assert (again.secret("a"), again.port("p"), again.kept_port("p")) == (secret, port, port)
    assert again.secret("b") != secret


def test_state_moves_a_port_that_a_stranger_took(tmp_path):
    state = State(tmp_path / "state.json")
    kept = state.port("p")
    with socket.create_server(("127.0.0.1", kept)):
        assert not port_is_free(kept)
        assert state.port("p") != kept


def test_write_private_is_closed_to_others_even_over_an_open_file(tmp_path):
    path = tmp_path / "file"
    path.write_text("old")
    path.chmod(0o644)

    write_private(path, "new")

    assert path.read_text() == "new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
