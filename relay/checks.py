# SPDX-License-Identifier: AGPL-3.0-or-later
"""Settings that only a development stack may have; `check --deploy` refuses them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.core.checks import Error, Tags, register


@dataclass(frozen=True, slots=True)
class Development:
    """A setting that has its `usual` value in a service; what it `does` otherwise."""

    number: int
    name: str
    does: str
    usual: Any


DEVELOPMENT = (
    Development(
        1, "RELAY_EGRESS_LOOPBACK_PORTS", "lets routes lead to this machine's own ports", []
    ),
    Development(2, "RELAY_ALLOW_PLAINTEXT_AUTH", "lets passwords travel without TLS", False),
    Development(
        3, "RELAY_DEVELOPMENT_DOMAINS", "believes in reserved domains without a proof", False
    ),
    Development(4, "RELAY_DIRECT_PORT", "is not the port that mail servers take mail on", 25),
    Development(
        5,
        "RELAY_ESP_URLS",
        "sends customers' mail and keys to other addresses than providers'",
        {},
    ),
)


@register(Tags.security, deploy=True)
def check_development_settings(**kwargs: Any) -> list[Error]:
    return [
        Error(f"{one.name} {one.does}.", hint="Unset it.", id=f"relay.E{one.number:03}")
        for one in DEVELOPMENT
        if getattr(settings, one.name) != one.usual
    ]
