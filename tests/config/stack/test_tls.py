# SPDX-License-Identifier: AGPL-3.0-or-later
"""The local authority and the certificate of the SMTP server."""

from __future__ import annotations

import asyncio
import ssl

import pytest

from config.stack import tls
from config.stack.tls import ensure_certificates


async def _handshake(directory, name):
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(directory / "server.pem", directory / "server.key")
    client = ssl.create_default_context(cafile=directory / "ca.pem")
    listener = await asyncio.start_server(lambda _r, w: w.close(), "127.0.0.1", 0, ssl=server)
    async with listener:
        port = listener.sockets[0].getsockname()[1]
        _, writer = await asyncio.open_connection(
            "127.0.0.1", port, ssl=client, server_hostname=name
        )
        writer.close()


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1", "::1", "relay.test"])
def test_certificate_is_trusted_under_every_local_name(tmp_path, name):
    ensure_certificates(tmp_path, "relay.test")
    asyncio.run(_handshake(tmp_path, name))


def test_certificate_is_refused_under_another_name(tmp_path):
    ensure_certificates(tmp_path, "relay.test")
    with pytest.raises(ssl.SSLCertVerificationError):
        asyncio.run(_handshake(tmp_path, "other.test"))


def test_certificates_are_kept_until_the_name_changes(tmp_path):
    ensure_certificates(tmp_path, "relay.test")
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}

    ensure_certificates(tmp_path, "relay.test")
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before

    ensure_certificates(tmp_path, "mx.test")
    assert (tmp_path / "ca.pem").read_bytes() == before["ca.pem"]
    assert (tmp_path / "server.pem").read_bytes() != before["server.pem"]


def test_certificate_is_renewed_before_it_expires(tmp_path, monkeypatch):
    monkeypatch.setattr(tls, "SERVER_LIFE", tls.RENEW_BEFORE / 2)
    ensure_certificates(tmp_path, "relay.test")
    before = (tmp_path / "server.pem").read_bytes()

    ensure_certificates(tmp_path, "relay.test")

    assert (tmp_path / "server.pem").read_bytes() != before


def test_private_keys_are_closed_to_others(tmp_path):
    ensure_certificates(tmp_path, "relay.test")
    assert {p.stat().st_mode & 0o077 for p in tmp_path.glob("*.key")} == {0}
