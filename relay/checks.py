# SPDX-License-Identifier: AGPL-3.0-or-later
"""Settings that only a development stack may have; `check --deploy` refuses them."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.checks import Error, Tags, register


@register(Tags.security, deploy=True)
def check_development_settings(**kwargs: Any) -> list[Error]:
    found = []
    if settings.RELAY_EGRESS_LOOPBACK_PORTS:
        found.append(
            Error(
                "RELAY_EGRESS_LOOPBACK_PORTS lets routes lead to this machine's own ports.",
                hint="Unset it.",
                id="relay.E001",
            )
        )
    if settings.RELAY_ALLOW_PLAINTEXT_AUTH:
        found.append(
            Error(
                "RELAY_ALLOW_PLAINTEXT_AUTH lets passwords travel without TLS.",
                hint="Unset it.",
                id="relay.E002",
            )
        )
    if settings.RELAY_DEVELOPMENT_DOMAINS:
        found.append(
            Error(
                "RELAY_DEVELOPMENT_DOMAINS believes in reserved domains without a proof.",
                hint="Unset it.",
                id="relay.E003",
            )
        )
    if settings.RELAY_DIRECT_PORT != 25:
        found.append(
            Error(
                "RELAY_DIRECT_PORT is not the port that mail servers take mail on.",
                hint="Unset it.",
                id="relay.E004",
            )
        )
    if settings.RELAY_ESP_URLS:
        found.append(
            Error(
                "RELAY_ESP_URLS sends customers' mail and keys to other addresses than providers'.",
                hint="Unset it.",
                id="relay.E005",
            )
        )
    return found
