# SPDX-License-Identifier: AGPL-3.0-or-later
"""Certificates, and a running listener for the tests of the submission side."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.relay.smtp.listening import Certificates, Raw, Running, make_certificates, running
from tests.testbed.certificates import Authority


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """A certificate authority that this run trusts."""
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="session")
def certificates(authority: Authority) -> Certificates:
    return make_certificates(authority)


@pytest.fixture
def server(certificates) -> Iterator[Running]:
    with running(tls=certificates.server) as listening:
        yield listening


@pytest.fixture
def client(server) -> Iterator[Raw]:
    """A client that has signed in."""
    with Raw(server.port) as raw:
        yield raw.sign_in()
