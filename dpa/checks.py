# SPDX-License-Identifier: AGPL-3.0-or-later
"""What must hold before an agreement may be issued, and what before it may bind anybody.

`check` asks the former, `check --deploy` the latter.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register

from accounts import clock
from dpa import processing, sealing, texts
from dpa.offering import LANGUAGE
from gdpr import recipients
from gdpr.deadlines import day_of

# The operator that the settings invent, so that the service runs before anybody has named one.
INVENTED = {
    "OPERATOR_NAME": "Brevdue ApS",
    "OPERATOR_ADDRESS": "Eksempelvej 1",
    "OPERATOR_COMPANY_NUMBER": "10000009",
    "PRIVACY_EMAIL": "privacy@brevdue.example",
}

# What an agreement prints and the service goes by: name, least, most.
BOUNDS = (
    ("SUBPROCESSOR_OBJECTION_DAYS", 1, 365),
    ("BACKUP_DAYS", 1, 3650),
    ("ASSISTANCE_HOURLY_RATE", 0, 1_000_000),
    ("VAT_PERCENT", 0, 100),
)


@register()
def check_words(**kwargs: Any) -> list[CheckMessage]:
    """Refuse an inventory that the text has no words for: nothing could be issued."""
    text = texts.load(LANGUAGE)
    return [
        Error(
            f"The agreement's text has no words for {key}.",
            hint="Add them to inventory.txt; once the text was offered, of a new version.",
            id="dpa.E003",
        )
        for key in dict.fromkeys(processing.keys())
        if key not in text.blocks
    ]


@register()
def check_figures(**kwargs: Any) -> list[CheckMessage]:
    """Refuse figures that no agreement can mean, and a way of countersigning that is none."""
    return [*_out_of_bounds(), *_no_countersigning()]


@register(Tags.security, deploy=True)
def check_processor(**kwargs: Any) -> list[CheckMessage]:
    """Refuse a processor that does not exist, or that the text is not written for."""
    return [*_invented(), *_abroad()]


@register(Tags.security, deploy=True)
def check_annexes(**kwargs: Any) -> list[CheckMessage]:
    """Warn of annexes that say nothing; it may be true, and is seldom meant."""
    return [*_no_subprocessor(), *_no_statements()]


def _out_of_bounds() -> Iterator[CheckMessage]:
    for name, least, most in BOUNDS:
        value = getattr(settings, name)
        if not least <= value <= most:
            yield Error(
                f"{name} is {value}: agreements would print it.",
                hint=f"Give it a value from {least} to {most}; see .env.example.",
                id="dpa.E004",
            )


def _no_countersigning() -> Iterator[CheckMessage]:
    if settings.AGREEMENT_COUNTERSIGNING not in sealing.COUNTERSIGNING:
        yield Error(
            f"AGREEMENT_COUNTERSIGNING is none of {', '.join(sealing.COUNTERSIGNING)}.",
            hint="Without one of these words nobody knows who sets the seal.",
            id="dpa.E005",
        )


def _invented() -> Iterator[CheckMessage]:
    for name, value in INVENTED.items():
        if getattr(settings, name) == value:
            yield Error(
                f"{name} is the invented one: agreements would name a party that does not exist.",
                hint="Say who runs the service; see OPERATOR_NAME in .env.example.",
                id="dpa.E001",
            )


def _abroad() -> Iterator[CheckMessage]:
    # Handing the data to such a processor is a transfer of the customer's (GDPR chapter V), and
    # the text has no grounds for it.
    if settings.OPERATOR_COUNTRY not in recipients.EEA:
        yield Error(
            "OPERATOR_COUNTRY lies outside the EEA: the agreement's text does not cover that.",
            hint="Have a text written for it, with the grounds of the transfer to the operator.",
            id="dpa.E002",
        )


def _no_subprocessor() -> Iterator[CheckMessage]:
    if not recipients.subprocessors(day_of(clock.now())).exists():
        yield Warning(
            "The register has no sub-processor: agreements say that there is none, and that all"
            " processing takes place at the operator's own address.",
            hint="Enter who hosts the machines and keeps the backups in the staff's pages.",
            id="dpa.W001",
        )


def _no_statements() -> Iterator[CheckMessage]:
    if not (settings.OPERATOR_STATEMENTS_BY and settings.OPERATOR_STATEMENTS_ON):
        yield Warning(
            "Nobody has declared the operator's own measures: agreements say so.",
            hint="Set OPERATOR_STATEMENTS_BY and OPERATOR_STATEMENTS_ON when they are in place.",
            id="dpa.W002",
        )
