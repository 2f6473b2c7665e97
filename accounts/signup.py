# SPDX-License-Identifier: AGPL-3.0-or-later
"""Signing up: a mail to confirm the address, then a person, their code and their organisation.

Nothing is kept before the confirmation: what was typed travels sealed in the link. So an address
that is known cannot be told from one that is not, and what nobody confirms leaves no trace.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, field, fields
from datetime import timedelta
from uuid import UUID, uuid4

from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.utils.functional import Promise
from django.utils.translation import gettext as _text
from django.utils.translation import gettext_lazy as _
from stdnum import get_cc_module
from stdnum.exceptions import ValidationError as NumberFault

from accounts import audit, clock, consents, emails, limits, links, vault
from accounts.addresses import normalised
from accounts.models import Consent, Membership, Organisation, OrganisationKey, Role, User
from accounts.passwords import FIRST_SIGN_IN_GROUPS, new_code
from accounts.refusals import Refused
from accounts.signin import person_for_email
from accounts.tenancy import organisation_context

LINK_PURPOSE = "sign-up"
LINK_LIFETIME = timedelta(days=3)


class AlreadyConfirmed(Refused):
    text: Promise = _("This address has an account already. Sign in with it.")


@dataclass(frozen=True, kw_only=True)
class Person:
    first_name: str
    last_name: str
    title: str = ""
    phone: str = ""
    language: str = "da"


@dataclass(frozen=True, kw_only=True)
class Company:
    name: str
    address: str = ""
    postcode: str = ""
    city: str = ""
    country: str = "DK"
    vat_number: str = ""


@dataclass(frozen=True, kw_only=True)
class SignUp(Person, Company):
    """What the sign-up form asks for; the VAT number as `check_vat_number` returned it.

    `consents` are the purposes that were ticked, with commas between them.
    """

    email: str
    consents: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstSignIn:
    """A new person, and the code that they sign in with once and must then change."""

    user_id: UUID
    organisation_id: UUID
    email: str
    code: str = field(repr=False)


def check_vat_number(country: str, number: str) -> str:
    """Return a CVR or VAT number in its short form, "" when empty.

    Raises Django's ValidationError when the country's rule is known and the number breaks it.
    """
    if not number.strip():
        return ""
    module = get_cc_module(country.lower(), "cvr" if country == "DK" else "vat")
    if module is None:
        return number.strip()
    try:
        return str(module.validate(number))
    except NumberFault:
        raise ValidationError(
            _text("This is not a valid number in that country."), code="vat_number"
        ) from None


def sign_up(details: SignUp, *, address: str) -> None:
    """Send a mail to the address: a link to confirm, or word that it has an account already.

    `address` is the network address of the client. Raises limits.TooMany.
    """
    email = normalised(details.email)
    limits.check_address(limits.MAIL_FROM_ADDRESS, address)
    limits.check(limits.MAIL_TO_PERSON, email)
    token = links.make(LINK_PURPOSE, asdict(details), clock.now() + LINK_LIFETIME)
    if person_for_email(email):
        emails.address_known(email, details.language)
    else:
        emails.confirm_address(email, details.language, token, LINK_LIFETIME.days)


def read_confirmation(token: str) -> SignUp:
    """Return what was typed at sign-up. Raises links.LinkInvalid, links.LinkExpired."""
    values = links.read(LINK_PURPOSE, token)
    names = {item.name for item in fields(SignUp)}
    return SignUp(**{name: value for name, value in values.items() if name in names})


def confirm(token: str) -> FirstSignIn:
    """Make the person, their organisation and its key.

    Raises links.LinkInvalid, links.LinkExpired, AlreadyConfirmed.
    """
    details = read_confirmation(token)
    organisation_id = uuid4()

    def found(user: User) -> None:
        _found(organisation_id, user, details)
        _ask_consents(user, details)

    return new_person(details.email, details, organisation_id, found)


def _ask_consents(user: User, details: SignUp) -> None:
    """The newsletter has a confirmation of its own: an account is no consent (article 7(4))."""
    ticked = [one for one in Consent.Purpose if one in details.consents.split(",")]
    # The account opens without it: the box stands on a page of its own, too.
    with suppress(Refused):
        consents.ask(user, ticked, Consent.Channel.SIGN_UP)


def new_person(
    email: str, person: Person, organisation_id: UUID, then: Callable[[User], None]
) -> FirstSignIn:
    """Make a person with a confirmed address and a code, and do the rest in one transaction.

    Raises AlreadyConfirmed.
    """
    user_id, code = uuid4(), new_code(FIRST_SIGN_IN_GROUPS)
    if person_for_email(email):
        raise AlreadyConfirmed
    with organisation_context(organisation_id, person_id=user_id):
        user = _create_person(user_id, email, person, code)
        then(user)
    return FirstSignIn(
        user_id=user_id, organisation_id=organisation_id, email=user.email, code=code
    )


def _create_person(user_id: UUID, email: str, person: Person, code: str) -> User:
    now = clock.now()
    try:
        with transaction.atomic():
            return User.objects.create_user(
                email,
                code,
                id=user_id,
                title=person.title,
                first_name=person.first_name,
                last_name=person.last_name,
                phone=person.phone,
                language=person.language,
                must_change_password=True,
                confirmed_at=now,
                created_at=now,
            )
    except IntegrityError:
        # The same link followed twice at the same time.
        raise AlreadyConfirmed from None


def found_organisation(user: User, company: Company) -> Organisation:
    """Make one more organisation, owned by a person who has an account."""
    organisation_id = uuid4()
    with organisation_context(organisation_id, person_id=user.id):
        return _found(organisation_id, user, company)


def _found(organisation_id: UUID, user: User, company: Company) -> Organisation:
    now = clock.now()
    organisation = Organisation.objects.create(
        id=organisation_id,
        name=company.name,
        address=company.address,
        postcode=company.postcode,
        city=company.city,
        country=company.country,
        vat_number=company.vat_number,
        created_at=now,
    )
    # The founder is the first owner: there is nobody else yet to let them in.
    Membership.objects.create(
        organisation=organisation, user=user, role=Role.OWNER, created_at=now, approved_at=now
    )
    sealed = vault.new_organisation_key(organisation_id)
    OrganisationKey.objects.create(organisation=organisation, sealed=sealed, created_at=now)
    audit.record(user, "organisation.founded", organisation)
    return organisation
