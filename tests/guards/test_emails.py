# SPDX-License-Identifier: AGPL-3.0-or-later
"""Every mail renders in both languages, as text and as HTML, with no name able to break out."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from types import ModuleType
from uuid import UUID

import pytest
from django.conf import settings

from accounts import emails, vault
from accounts.models import Invitation, Membership, Organisation, OutgoingMail, Role, User
from gdpr import emails as proofs
from gdpr import telling
from gdpr.enquiries import mails
from gdpr.enquiries.asking import Asked, Whom
from gdpr.erasing import letters as farewells
from gdpr.letters import drafts, gallery, posting
from gdpr.models import (
    Enquiry,
    Erasure,
    ForwardedRequest,
    Notice,
    Recipient,
    Request,
    RequestedRight,
    Right,
)
from tests import build

pytestmark = pytest.mark.django_db

TOKEN = "tok-en_0123456789"
ROUTE = UUID(int=7)
HOSTILE = "<script>alert(1)</script>\r\nBcc: x {{ link }} & Ærø"

KINDS: dict[str, Callable[[User, Membership, str], object]] = {
    "confirm_address": lambda _, __, code: emails.confirm_address("a@b.example", code, TOKEN, 3),
    "address_known": lambda _, __, code: emails.address_known("a@b.example", code),
    "consent_confirm": lambda user, *_: emails.consent_confirm(user, TOKEN, [HOSTILE], 7),
    "consent_confirmed": lambda user, *_: emails.consent_confirmed(user, TOKEN, [HOSTILE]),
    "password_reset": lambda user, *_: emails.password_reset(user, TOKEN),
    "password_changed": lambda user, *_: emails.password_changed(user),
    "new_browser": lambda user, *_: emails.new_browser(user, build.NOW),
    "second_factor_changed": lambda user, *_: emails.second_factor_changed(user, "added"),
    "invitation": lambda user, membership, _: emails.invitation(
        _invitation(membership.organisation), user, TOKEN
    ),
    "membership_waiting": lambda user, membership, _: emails.membership_waiting(membership, user),
    "membership_approved": lambda _, membership, __: emails.membership_approved(membership),
    "membership_refused": lambda _, membership, __: emails.membership_refused(membership),
    "membership_ended": lambda _, membership, __: emails.membership_ended(membership),
    "role_changed": lambda _, membership, __: emails.role_changed(membership),
    "route_paused": lambda _, membership, __: emails.route_paused(
        membership, ROUTE, HOSTILE, "mail.example"
    ),
    "domain_stopped": lambda _, membership, __: emails.domain_stopped(
        membership, ROUTE, "due.example"
    ),
    "domain_failing": lambda _, membership, __: emails.domain_failing(
        membership, ROUTE, HOSTILE, ["bdabcdefgh"], is_lost=False
    ),
    "operator_alert": lambda *_: emails.operator_alert("beat-silent", "x").save(),
    "gdpr/letter": lambda _, __, code: drafts.send(gallery.sample("done", code)),
    "gdpr/address_proof": lambda user, *_: proofs.address_proof(
        _right(user), "anne@due.example", TOKEN, 3
    ),
    "gdpr/address_change": lambda user, *_: proofs.address_change(_right(user)),
    "gdpr/identity_asked": lambda user, *_: proofs.identity_asked(user, [HOSTILE], TOKEN, 7),
    "gdpr/erasure_asked": lambda user, *_: farewells.erasure_asked(user, _erasure(), TOKEN),
    "gdpr/erasure_cancelled": lambda user, *_: farewells.erasure_cancelled(user),
    "gdpr/enquiry_proof": lambda _, __, code: mails.enquiry_proof(Enquiry(), _asked(code), TOKEN),
    "gdpr/enquiry_answered": lambda _, __, code: mails.enquiry_answered(Enquiry(), _asked(code)),
    "gdpr/request_forwarded": lambda _, membership, __: mails.request_forwarded(
        _forwarded(), membership
    ),
    "gdpr/forwarded_due": lambda _, membership, __: mails.forwarded_due(_forwarded(), membership),
    "gdpr/member_erased": lambda _, membership, __: farewells.member_erased(membership),
    "gdpr/notice": lambda _, __, code: telling.notice(_notice(code), ROUTE),
    "gdpr/notice_by_hand": lambda *_: telling.notice_by_hand(_notice("da"), ROUTE),
}


# To the operator's own desk, in the installation's language.
TO_US = {"operator_alert", "gdpr/notice_by_hand"}
# What posts, sends, finds and drops mails of any kind.
# `erased` posts a letter, and tests/gdpr/letters look at every kind of those.
NO_KINDS = {
    "to_person",
    "to_address",
    "mails_to",
    "send_due",
    "drop_undeliverable",
    "erased",
}


def _right(user: User) -> RequestedRight:
    day = build.NOW.date()
    request = Request(person=user, language=user.language, received_at=build.NOW)
    return RequestedRight(request=request, right=Right.OBJECTION, promised_on=day, due_on=day)


def _asked(language: str) -> Asked:
    return Asked(
        address="a@b.example",
        rights=(Right.ACCESS,),
        whom=Whom.EVERYONE,
        words=HOSTILE,
        language=language,
    )


def _forwarded() -> ForwardedRequest:
    day = build.NOW.date()
    return ForwardedRequest(
        rights=[Right.ERASURE],
        enquiry_id=ROUTE,
        promised_on=day,
        due_on=day,
        escalated="half",
    )


def _notice(language: str) -> Notice:
    country = "DK" if language == "da" else "SE"
    recipient = Recipient(name=HOSTILE, contact="gdpr@vaert.example", country=country)
    return Notice(recipient=recipient, change=Notice.Change.ERASED, opened_at=build.NOW)


def _erasure(language: str = "da") -> Erasure:
    return Erasure(language=language, asked_at=build.NOW, due_at=build.NOW)


def _invitation(organisation: Organisation) -> Invitation:
    return Invitation(
        organisation=organisation,
        email="ida@inviteret.example",
        role=Role.VIEWER,
        expires_at=build.NOW,
    )


def _letter(kind: str, language: str) -> dict[str, str]:
    user = User(first_name=HOSTILE, last_name="Due", email="anna@due.example", language=language)
    membership = Membership(
        organisation=Organisation(name=HOSTILE, created_at=build.NOW), user=user, role=Role.VIEWER
    )
    with build.as_owner():
        membership.organisation.save()
        KINDS[kind](user, membership, language)
        row = OutgoingMail.objects.get()
    letter: dict[str, str] = json.loads(vault.unseal(f"outgoing-mail|{row.id}", row.sealed))
    return letter


@pytest.mark.parametrize(
    ("app", "modules"),
    [("accounts", [emails]), ("gdpr", [proofs, farewells, mails, posting, telling])],
)
def test_every_kind_is_here_and_has_its_three_templates(
    app: str, modules: list[ModuleType]
) -> None:
    functions = {
        name
        for module in modules
        for name, value in vars(module).items()
        if inspect.isfunction(value) and value.__module__ == module.__name__ and name[0] != "_"
    }
    kinds = {
        kind.rpartition("/")[2] for kind in KINDS if (kind.rpartition("/")[0] or "accounts") == app
    }
    assert functions - NO_KINDS == kinds
    folder = Path(settings.BASE_DIR) / "templates" / app / "email"
    expected = {f"{kind}.{end}" for kind in kinds for end in ("subject.txt", "txt", "html")}
    assert {file.name for file in folder.iterdir()} - {"base.html"} == expected


@pytest.mark.parametrize("language", ["da", "en"])
@pytest.mark.parametrize("kind", KINDS)
def test_mail_renders(kind: str, language: str) -> None:
    letter = _letter(kind, language)
    assert letter["subject"]
    assert not re.search(r"[\r\n]", letter["subject"])
    assert f'<html lang="{"da" if kind in TO_US else language}">' in letter["html"]
    for part in ("subject", "text", "html"):
        assert "{%" not in letter[part]
        assert "None" not in letter[part]
        assert "&amp;lt;" not in letter[part]
    assert "<script" not in letter["html"]
    assert "&lt;" not in letter["text"]


@pytest.mark.parametrize(("language", "prefix"), [("da", ""), ("en", "en/")])
@pytest.mark.parametrize(
    ("kind", "page"),
    [
        ("confirm_address", f"sign-up/confirm/{TOKEN}/"),
        ("password_reset", f"password/forgotten/{TOKEN}/"),
        ("invitation", f"invitation/{TOKEN}/"),
        ("membership_waiting", "team/"),
        ("route_paused", f"routes/{ROUTE}/"),
        ("domain_stopped", f"reviews/{ROUTE}/"),
    ],
)
def test_link_is_in_text_and_html(kind: str, page: str, language: str, prefix: str) -> None:
    letter = _letter(kind, language)
    link = f"{settings.SITE_URL}/{prefix}{page}"
    assert f"\n{link}\n" in letter["text"]
    assert link in _Links(letter["html"]).found


class _Links(HTMLParser):
    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[str | None] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "a":
            self.found.append(dict(attrs)["href"])
