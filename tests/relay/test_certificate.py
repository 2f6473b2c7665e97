# SPDX-License-Identifier: AGPL-3.0-or-later
"""Which TLS the SMTP process speaks to its clients."""

from __future__ import annotations

import ssl
import warnings
from pathlib import Path

import pytest

from relay.smtpd import Certificate
from tests.testbed.certificates import Authority


def shake_hands(server: ssl.SSLContext, client: ssl.SSLContext) -> str | None:
    """Return the version agreed upon, in memory. Raises ssl.SSLError."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [
        server.wrap_bio(to_server, to_client, server_side=True),
        client.wrap_bio(to_client, to_server, server_hostname="mail.due.example"),
    ]
    waiting = list(ends)
    for _ in range(10):
        for end in list(waiting):
            try:
                end.do_handshake()
                waiting.remove(end)
            except ssl.SSLWantReadError:
                continue
    assert not waiting
    return ends[1].version()


@pytest.fixture
def server(tmp_path: Path) -> ssl.SSLContext:
    Authority(tmp_path).server("mail.due.example")
    (pem,) = tmp_path.glob("mail.due.example-*.pem")
    context = Certificate(pem, pem).context()
    # The library's own level of security must not be what refuses.
    context.set_ciphers("ALL:@SECLEVEL=0")
    return context


def client_of(version: ssl.TLSVersion) -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_ciphers("ALL:@SECLEVEL=0")
    with warnings.catch_warnings(action="ignore", category=DeprecationWarning):
        context.minimum_version = context.maximum_version = version
    return context


@pytest.mark.behaviour(9)
def test_old_tls_is_not_spoken(server: ssl.SSLContext) -> None:
    assert shake_hands(server, client_of(ssl.TLSVersion.TLSv1_2)) == "TLSv1.2"
    with pytest.raises(ssl.SSLError):
        shake_hands(server, client_of(ssl.TLSVersion.TLSv1_1))
