# SPDX-License-Identifier: AGPL-3.0-or-later
from __future__ import annotations

from typing import Any

import pytest
from django.core.checks import registry
from pytest_django.fixtures import Settings

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
