# SPDX-License-Identifier: AGPL-3.0-or-later
"""A person's dealings with sending domains: add, have checked, remove (proof: verification.py)."""

from __future__ import annotations

from functools import lru_cache

from django.db import IntegrityError, transaction
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _
from publicsuffixlist import PublicSuffixList

from accounts import audit, clock, limits
from accounts.limits import HOUR, Limit
from accounts.models import Membership
from accounts.refusals import Refused
from accounts.tenancy import organisation_context
from relay import verification
from relay.models import Route, SendingDomain
from relay.smtp.addresses import AddressError, host_name, parse_domain

# A check asks the name servers of a name that the customer chose.
CHECKS = Limit("domain-checks", ((30, HOUR),))


class NotADomain(Refused):
    text: Promise = _(
        "That is not a domain name. Write it like “company.example”: without “@”, without “https://”."
    )


class PublicSuffix(Refused):
    text: Promise = _(
        "Everybody can register names under this one, so it belongs to nobody. Write your own"
        " domain below it."
    )


class AddedAlready(Refused):
    text: Promise = _("The domain is in your list already. Open it there to check its record.")


@lru_cache(maxsize=1)
def _suffixes() -> PublicSuffixList:
    return PublicSuffixList()


def normalised(text: str) -> str:
    """Return the lower-case A-label of what a person wrote. Raises NotADomain, PublicSuffix."""
    try:
        name = host_name(parse_domain(text.strip()))
    except AddressError:
        raise NotADomain from None
    if _suffixes().privatesuffix(name) is None:
        raise PublicSuffix
    return name


def add(text: str, *, by: Membership) -> SendingDomain:
    """Begin to prove a domain. Raises NotADomain, PublicSuffix, AddedAlready."""
    name = normalised(text)
    try:
        with transaction.atomic():
            domain = verification.add(by.organisation_id, name, clock.now())
    except IntegrityError:
        raise AddedAlready from None
    audit.record(by.user, "domain.created", domain, ["name"])
    return domain


def check(domain: SendingDomain, *, by: Membership) -> SendingDomain:
    """Look for all records now. Raises TooMany, DoesNotExist when the domain was removed meanwhile.

    Call it outside a transaction: none should stay open while name servers are waited for.
    """
    limits.check(CHECKS, str(by.organisation_id))
    rows = SendingDomain.objects.for_organisation(by.organisation_id)
    with organisation_context(by.organisation_id, person_id=by.user_id):
        asked = verification.with_keys(rows).get(pk=domain.pk)
    looked = verification.find(asked)
    with organisation_context(by.organisation_id, person_id=by.user_id):
        row = rows.select_for_update().get(pk=domain.pk)
        return verification.settle(row, looked, clock.now(), by=by.user)


def routes_of(domain: SendingDomain) -> int:
    """Return how many routes serve this domain alone: they go with it."""
    return Route.objects.for_organisation(domain.organisation_id).filter(domain=domain).count()


def remove(domain: SendingDomain, *, by: Membership) -> None:
    """Stop sending from the domain and drop its proof, with the routes that serve it alone."""
    with transaction.atomic():
        audit.record(by.user, "domain.removed", domain)
        domain.delete()
