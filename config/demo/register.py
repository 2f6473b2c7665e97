# SPDX-License-Identifier: AGPL-3.0-or-later
"""The demo's step of the operator: the register of recipients, as staff fill it in.

Agreements, the privacy notice and access answers name whoever stands in it; all are invented.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

from accounts import clock
from config.demo.portal import path_of, signed_in
from config.demo.steps import Journey, StepFailed
from dpa.models import Agreement
from gdpr.deadlines import day_of
from gdpr.models import Recipient
from gdpr.registry import Audience


@dataclass(frozen=True, slots=True)
class Supplier:
    """A company with the fields that the form asks for; dates as ISO 8601."""

    name: str
    address: str
    country: str
    company_number: str
    contact: str
    services: tuple[str, ...]
    starts_on: str
    contract_on: str
    transfer: str = Recipient.Transfer.NONE


# No company can have these numbers: they fail the check that a number of its country must pass.
SUPPLIERS = (
    Supplier(
        name="Nordlys Serverhus A/S",
        address="Kabelvej 12, 2620 Albertslund",
        country="DK",
        company_number="99000001",
        contact="databeskyttelse@nordlys-serverhus.example",
        services=(Audience.HOSTING, Audience.SUPPORT),
        starts_on="2026-01-01",
        contract_on="2025-12-01",
    ),
    Supplier(
        name="Bergvalv Säkerhetskopior AB",
        address="Tunnelgatan 4, 211 20 Malmö",
        country="SE",
        company_number="SE999999000001",
        contact="dataskydd@bergvalv.example",
        services=(Audience.BACKUP,),
        starts_on="2026-01-01",
        contract_on="2025-12-15",
    ),
    Supplier(
        name="Postduen Mail ApS",
        address="Brevgade 3, 5000 Odense C",
        country="DK",
        company_number="99000003",
        contact="gdpr@postduen.example",
        services=(Audience.MAIL,),
        starts_on="2026-03-01",
        contract_on="2026-02-20",
    ),
)


def fill_register(journey: Journey) -> None:
    """Staff enter every supplier that the register does not have yet, reviewed today.

    Not once an agreement is in force: customers are told long before a new supplier starts.
    """
    known = set(Recipient.objects.values_list("name", flat=True))
    missing = [supplier for supplier in SUPPLIERS if supplier.name not in known]
    if not missing or Agreement.objects.filter(state=Agreement.State.IN_FORCE).exists():
        return
    path = path_of("admin:gdpr_recipient_add")
    portal = signed_in(journey.facts["web"], journey.facts["staff"])
    reviewed_on = day_of(clock.now()).isoformat()
    for supplier in missing:
        page = portal.send(portal.get(path), path, **asdict(supplier), reviewed_on=reviewed_on)
        if page.path == path:
            raise StepFailed(f"the register of recipients does not take {supplier.name}")
