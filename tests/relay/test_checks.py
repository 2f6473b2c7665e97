# SPDX-License-Identifier: AGPL-3.0-or-later
from __future__ import annotations

from ipaddress import ip_address
from typing import Any

import pytest
from django.core.checks import registry
from pytest_django.fixtures import Settings

from tests.testbed.dns import NameServer

USUAL: dict[str, Any] = {
    "RELAY_EGRESS_LOOPBACK_PORTS": [],
    "RELAY_ALLOW_PLAINTEXT_AUTH": False,
    "RELAY_DEVELOPMENT_DOMAINS": False,
    "RELAY_DIRECT_PORT": 25,
    "RELAY_ESP_URLS": {},
}


def _deployed() -> list[str]:
    """What `check --deploy` says about the relay."""
    checks = registry.registry.get_checks(include_deployment_checks=True)
    own = [check for check in checks if check.__module__.startswith("relay.")]
    return [str(found.id) for check in own for found in check(app_configs=None, databases=None)]


@pytest.mark.parametrize(
    ("name", "value", "fault"),
    [
        ("RELAY_EGRESS_LOOPBACK_PORTS", [2500], "relay.E001"),
        ("RELAY_ALLOW_PLAINTEXT_AUTH", True, "relay.E002"),
        ("RELAY_DEVELOPMENT_DOMAINS", True, "relay.E003"),
        ("RELAY_DIRECT_PORT", 2525, "relay.E004"),
        ("RELAY_ESP_URLS", {"postmark": "http://127.0.0.1:8999"}, "relay.E005"),
    ],
)
def test_development_settings_are_refused(
    settings: Settings, name: str, value: Any, fault: str
) -> None:
    for other, usual in USUAL.items():
        setattr(settings, other, usual)
    assert _deployed() == []
    setattr(settings, name, value)
    assert _deployed() == [fault]


NAMED = """
relay.brevdue.example. 60 IN A 192.0.2.1
relay.brevdue.example. 60 IN A 192.0.2.5
relay.brevdue.example. 60 IN AAAA 2001:db8::1
other.example. 60 IN A 192.0.2.2
1.2.0.192.in-addr.arpa. 60 IN PTR Relay.Brevdue.example.
2.2.0.192.in-addr.arpa. 60 IN PTR other.example.
3.2.0.192.in-addr.arpa. 60 IN PTR relay.brevdue.example.
5.2.0.192.in-addr.arpa. 60 IN PTR other.example.
"""
NAMED += f"{ip_address('2001:db8::1').reverse_pointer}. 60 IN PTR relay.brevdue.example."


@pytest.mark.behaviour(30)
@pytest.mark.parametrize(
    ("sources", "warned"),
    [
        (("192.0.2.1", ""), 0),
        (("192.0.2.1", "2001:0db8::1"), 0),
        (("", ""), 1),
        (("192.0.2.2", ""), 1),
        (("192.0.2.3", ""), 1),
        (("192.0.2.4", "2001:db8::2"), 2),
        (("192.0.2.5", ""), 1),
        (("no address", ""), 1),
    ],
)
def test_addresses_that_mail_leaves_from_bear_the_name_that_is_said(
    settings: Settings, sources: tuple[str, str], warned: int
) -> None:
    for other, usual in USUAL.items():
        setattr(settings, other, usual)
    settings.RELAY_HOSTNAME = "relay.brevdue.example"
    settings.RELAY_SOURCE_IPV4, settings.RELAY_SOURCE_IPV6 = sources
    with NameServer(NAMED) as dns:
        settings.RELAY_RESOLVER = [dns.server]
        settings.RELAY_DIRECT = True
        assert _deployed() == ["relay.W001"] * warned
        settings.RELAY_DIRECT = False
        assert _deployed() == []
