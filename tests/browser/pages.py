# SPDX-License-Identifier: AGPL-3.0-or-later
"""The table of pages. A new page is a new line here; the tests do the rest."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

from django.apps import apps
from django.urls import reverse
from django.utils.translation import override

from accounts import clock, links
from accounts.models import Organisation, User
from gdpr import claims
from gdpr.enquiries import asking, proving
from gdpr.enquiries.asking import Asked, Whom
from gdpr.enquiries.headers import Named
from gdpr.models import Enquiry, Right
from gdpr.rights import rectification
from relay.models import DkimKey, DomainRecord
from tests import build
from tests.guards import places


@dataclass(frozen=True, slots=True)
class Page:
    """A page, who opens it (anna owns, dorte is staff, nobody is signed out), and its answer."""

    name: str
    url: str
    who: str = "nobody"
    status: int = 200
    row: Callable[[], object] | None = None

    @property
    def path(self) -> str:
        """The path in Danish, which has no prefix."""
        if self.url.startswith("/"):
            return self.url
        with override("da"):
            return reverse(self.url, args=[self.row()] if self.row else [])


def _first(label: str) -> Callable[[], object]:
    """The oldest row of this model; for staff there is one in every table."""

    def row() -> object:
        with build.as_owner():
            return apps.get_model(label)._default_manager.order_by("pk")[:1].get().pk

    return row


def _of_anna(make: Callable[[Organisation], UUID | str]) -> Callable[[], UUID | str]:
    """A row of Anna's organisation, made when its page is opened."""

    def row() -> UUID | str:
        with build.as_owner():
            return make(Organisation.objects.get())

    return row


def _address_link() -> str:
    """What the link to a corrected address carries; no row is asked for before it is posted."""
    values = {"person": str(uuid4()), "right": str(uuid4()), "address": "anne@due.example"}
    return links.make(rectification.LINK_PURPOSE, values, clock.now() + timedelta(days=1))


def _enquiry_link() -> str:
    """The link of an enquiry that waits to be confirmed, words included."""
    asked = Asked(
        address="erik@modtager.example",
        rights=(Right.ACCESS, Right.ERASURE),
        whom=Whom.SENDER,
        named=Named(("butik.example",)),
        words="Jeg har aldrig handlet hos jer.",
        language="da",
    )
    with build.as_owner():
        asking.store(asked, clock.now(), network="192.0.2.7")
        row = Enquiry.objects.order_by("-received_at")[0]
        Enquiry.objects.filter(pk=row.pk).update(mailed_at=clock.now())
    return proving.token(row.id, clock.now())


def _identity_link() -> str:
    """What the link carries that asks Anna whether a request in her name is hers."""
    with build.as_owner():
        anna = User.objects.get(first_name="Anna")
        claim = build.claim_of(anna, asked_at=clock.now())
    values = {"person": str(anna.pk), "request": str(claim.pk)}
    return links.make(claims.LINK_PURPOSE, values, clock.now() + timedelta(days=1))


def _staff_page(model: str, page: str = "changelist") -> Page:
    """A list of the staff's pages, or one row of it."""
    row = _first(model.replace("_", ".", 1)) if page == "change" else None
    return Page(f"staff-{model}-{page}", f"admin:{model}_{page}", "dorte", row=row)


# A list and a row of each kind that differs from the others: filters, search, actions, a banner.
STAFF_PAGES = (
    Page("staff", "admin:index", "dorte"),
    _staff_page("accounts_organisation"),
    _staff_page("accounts_organisation", "change"),
    _staff_page("accounts_user"),
    _staff_page("accounts_user", "change"),
    _staff_page("accounts_auditevent"),
    _staff_page("accounts_alert", "change"),
    _staff_page("relay_credential"),
    _staff_page("relay_route", "change"),
    _staff_page("relay_queueddelivery"),
    _staff_page("relay_hold"),
    _staff_page("relay_quota", "add"),
    _staff_page("relay_suppression"),
    _staff_page("relay_review"),
    _staff_page("gdpr_erasure"),
    _staff_page("gdpr_release", "add"),
    _staff_page("gdpr_forwardedrequest"),
    _staff_page("gdpr_letter"),
    Page("staff-gdpr_letter-gallery", "admin:gdpr_letter_gallery", "dorte"),
    _staff_page("gdpr_requestedright"),
    _staff_page("gdpr_requestedright", "change"),
    _staff_page("gdpr_requestedright", "enter"),
    _staff_page("gdpr_requestedright", "clocks"),
    _staff_page("gdpr_approval"),
    _staff_page("gdpr_personrestriction"),
    _staff_page("gdpr_notice"),
)


def _of_person(make: Callable[[User], tuple[object, ...]]) -> Callable[[], UUID]:
    """A row of Anna's own, made when its page is opened."""

    def row() -> UUID:
        with build.as_owner():
            (identifier,) = make(User.objects.get(first_name="Anna"))
        assert isinstance(identifier, UUID)
        return identifier

    return row


def _a_signed_domain(organisation: Organisation) -> UUID:
    """A domain with a key in each state, one of whose records is gone."""
    domain_id = places.a_domain(organisation)
    ages: tuple[dict[str, Any], ...] = (
        {},
        {"signs_since": build.NOW},
        {"signs_since": build.NOW, "retired_at": clock.now()},
    )
    for number, fields in enumerate(ages):
        key = DkimKey.objects.create(
            organisation=organisation,
            domain_id=domain_id,
            selector=f"bdabcdefg{number}",
            algorithm=DkimKey.Algorithm.RSA,
            public="MIIBIjANBgkqhkiG9w0B" + "A" * 372,
            created_at=build.NOW,
            **fields,
        )
        DomainRecord.objects.create(
            organisation=organisation,
            domain_id=domain_id,
            kind=DomainRecord.Kind.DKIM,
            key=key,
            state=DomainRecord.State.WRONG,
            seen="v=DKIM1; k=rsa; p=" + "B" * 200,
            checked_at=build.NOW,
        )
    return domain_id


PAGES = (
    Page("front", "home"),
    Page("not-found", "/nothing-here/", status=404),
    Page("help-smtp", "relay:help-smtp"),
    Page("privacy", "gdpr:privacy"),
    Page("retention", "gdpr:retention"),
    Page("recipients", "gdpr:recipients"),
    Page("enquiry", "gdpr:enquiry"),
    Page("enquiry-sent", "gdpr:enquiry-sent"),
    Page("enquiry-confirm", "gdpr:enquiry-confirm", row=_enquiry_link),
    Page("enquiry-own", "gdpr:enquiry-own", row=_enquiry_link),
    Page("sign-in", "accounts:sign-in"),
    Page("sign-up", "accounts:sign-up"),
    Page("sign-up-sent", "accounts:sign-up-sent"),
    Page("password-reset", "accounts:password-reset"),
    Page("password-reset-sent", "accounts:password-reset-sent"),
    Page("address-confirm", "gdpr:address-confirm", row=_address_link),
    Page("identity-confirm", "gdpr:identity-confirm", row=_identity_link),
    Page("dead-link", "/sign-up/confirm/no-such-link/", status=404),
    Page("dashboard", "home", "anna"),
    Page("profile", "accounts:profile", "anna"),
    Page("consents", "accounts:consents", "anna"),
    Page("security", "accounts:security", "anna"),
    Page("second-factor-set-up", "accounts:second-factor-enrol", "anna"),
    Page("password-change", "accounts:password-change", "anna"),
    Page("organisations", "accounts:organisations", "anna"),
    Page("organisation-new", "accounts:organisation-found", "anna"),
    Page("organisation", "accounts:organisation", "anna"),
    Page("erasure", "gdpr:erasure", "anna"),
    Page("team", "accounts:team", "anna"),
    Page("invite", "accounts:invite", "anna"),
    Page("member-role", "accounts:member-role", "anna", row=_of_anna(places.a_waiting_member)),
    Page("audit-trail", "accounts:audit-trail", "anna"),
    Page("proof", "proof", "anna"),
    Page("credentials", "relay:credentials", "anna"),
    Page("credential", "relay:credential", "anna", row=_of_anna(places.a_credential)),
    Page("credential-revoke", "relay:credential-revoke", "anna", row=_of_anna(places.a_credential)),
    Page("domains", "relay:domains", "anna"),
    Page("domain-new", "relay:domain-new", "anna"),
    Page("domain", "relay:domain", "anna", row=_of_anna(_a_signed_domain)),
    Page("routes", "relay:routes", "anna"),
    Page("route", "relay:route", "anna", row=_of_anna(places.a_route)),
    Page("route-edit", "relay:route-edit", "anna", row=_of_anna(places.a_route)),
    Page("provider-new", "relay:provider-new", "anna"),
    Page("provider", "relay:route", "anna", row=_of_anna(places.a_provider)),
    Page("suppressions", "relay:suppressions", "anna"),
    Page("suppressions-import", "relay:suppressions-import", "anna"),
    Page("restrictions", "relay:restrictions", "anna"),
    Page("restriction-new", "relay:restriction-new", "anna"),
    Page("restriction-lift", "relay:restriction-lift", "anna", row=_of_anna(places.a_restriction)),
    Page("correspondents", "gdpr:correspondents", "anna"),
    Page("correspondent", "gdpr:correspondent", "anna", row=_of_anna(places.a_address)),
    Page("no-mail", "gdpr:correspondent-suppress", "anna", row=_of_anna(places.a_address)),
    Page("not-used", "gdpr:correspondent-restrict", "anna", row=_of_anna(places.a_address)),
    Page(
        "address-erasure",
        "gdpr:correspondent-erasure",
        "anna",
        row=_of_anna(places.a_address_erasure),
    ),
    Page("statistics", "relay:statistics", "anna"),
    Page("review", "relay:review", "anna", row=_of_anna(places.a_review)),
    Page("log", "relay:log", "anna"),
    Page("log-settings", "relay:log-settings", "anna"),
    Page("message", "relay:message", "anna", row=_of_anna(places.a_message)),
    Page("waiting", "relay:waiting", "anna"),
    Page("waiting-cancel", "relay:cancel-all", "anna"),
    Page("inbox", "gdpr:inbox", "anna"),
    Page("inbox-request", "gdpr:inbox-request", "anna", row=_of_anna(places.a_forwarded_request)),
    Page("agreements", "dpa:agreements", "anna"),
    Page("agreement-draft", "dpa:draft", "anna"),
    Page("agreement", "dpa:agreement", "anna", row=_of_anna(places.a_agreement)),
    Page("agreement-withdraw", "dpa:withdraw", "anna", row=_of_anna(places.a_agreement)),
    Page("signatories", "dpa:signatories", "anna"),
    Page("signatory-withdraw", "dpa:signatory-withdraw", "anna", row=_of_anna(places.a_signatory)),
    Page("verify", "dpa:verify"),
    Page("requests", "gdpr:requests", "anna"),
    Page("import", "gdpr:import", "anna"),
    Page("request", "gdpr:request", "anna", row=_of_person(places.a_request)),
    Page("forbidden", "accounts:organisation", "bo", status=403),
    Page("not-found-signed-in", "/nothing-here/", "anna", status=404),
    *STAFF_PAGES,
)
