# SPDX-License-Identifier: AGPL-3.0-or-later
"""Giving and withdrawing consent (GDPR article 7).

Before a newsletter is confirmed by the link in a mail, nothing is kept of it: what was ticked
travels sealed in that link. Ending it takes one press of a button, wherever one is asked.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from uuid import UUID

from django.db import IntegrityError, transaction
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from accounts import audit, clock, emails, limits, links, wordings
from accounts.models import Consent, User
from accounts.refusals import Refused
from accounts.tenancy import person_context

Purpose = Consent.Purpose
Channel = Consent.Channel

CONFIRM, WITHDRAW = "consent-confirm", "consent-withdraw"
CONFIRM_DAYS = 7
# The link that ends it stands in mails that people keep.
WITHDRAW_DAYS = 10 * 365


class NoNewsletter(Refused):
    text: Promise = _("There is nothing to measure without the newsletter: confirm that first.")


def in_force(person: User) -> dict[str, Consent]:
    """Return the person's consents that were not withdrawn, by purpose."""
    rows = Consent.objects.filter(user=person, withdrawn_at=None)
    return {row.purpose: row for row in rows}


def ask(person: User, purposes: Iterable[Purpose], given_in: Channel) -> None:
    """Take what a person ticked: the newsletter is confirmed by mail, with what was ticked too.

    Raises NoNewsletter, limits.TooMany.
    """
    wanted = set(purposes) - in_force(person).keys()
    if Purpose.NEWSLETTER in wanted:
        _ask_by_mail(person, wanted, given_in)
    elif Purpose.TRACKING in wanted:
        _give_tracking(person, given_in)


def _ask_by_mail(person: User, wanted: set[Purpose], given_in: Channel) -> None:
    limits.check(limits.MAIL_TO_PERSON, person.email)
    now = clock.now()
    values = {"person": str(person.pk), "language": person.language, "given_in": str(given_in)}
    values |= {"address": person.email, "given_at": now.isoformat()}
    values |= {purpose: str(wordings.current(purpose).version) for purpose in sorted(wanted)}
    token = links.make(CONFIRM, values, now + timedelta(days=CONFIRM_DAYS))
    words = [wordings.current(purpose).text(person.language) for purpose in sorted(wanted)]
    emails.consent_confirm(person, token, words, CONFIRM_DAYS)


def _give_tracking(person: User, given_in: Channel) -> None:
    if Purpose.NEWSLETTER not in in_force(person):
        raise NoNewsletter
    now, wording = clock.now(), wordings.current(Purpose.TRACKING)
    row = _row(person, Purpose.TRACKING, wording, person.language)
    row.given_in, row.given_at, row.confirmed_at = given_in, now, now
    _keep(row)


def asked_in(token: str) -> list[str]:
    """Return the words that a link of the mail confirms, in the language they were shown in.

    Raises links.LinkInvalid, links.LinkExpired.
    """
    return [row_words(row) for row in _rows_of(links.read(CONFIRM, token))]


def confirm(token: str) -> list[Consent]:
    """Keep what was ticked and is now confirmed; doing it again changes nothing. Role `web`.

    Raises links.LinkInvalid, links.LinkExpired.
    """
    values = links.read(CONFIRM, token)
    with person_context(UUID(values["person"])):
        person = User.objects.filter(pk=values["person"], email=values["address"]).first()
        # An account that is gone, or an address that is somebody else's by now.
        if person is None or _was_used(person, values):
            raise links.LinkInvalid
        made = [row for row in _rows_of(values) if _keep(row)]
        if made:
            emails.consent_confirmed(person, withdrawal_token(person), list(map(row_words, made)))
    return made


def _was_used(person: User, values: dict[str, str]) -> bool:
    """Whether what this link confirms was withdrawn since: an old mail does not bring it back."""
    since = datetime.fromisoformat(values["given_at"])
    return Consent.objects.filter(user=person, withdrawn_at__gte=since).exists()


def _rows_of(values: dict[str, str]) -> list[Consent]:
    """Return the rows of a link, not saved."""
    rows = []
    for purpose in [one for one in Purpose if one in values]:
        wording = wordings.of_version(purpose, int(values[purpose]))
        row = _row(User(pk=UUID(values["person"])), purpose, wording, values["language"])
        row.given_in, row.confirmed_at = values["given_in"], clock.now()
        row.given_at = datetime.fromisoformat(values["given_at"])
        rows.append(row)
    return rows


def _row(person: User, purpose: Purpose, wording: wordings.Wording, language: str) -> Consent:
    return Consent(
        user_id=person.pk,
        purpose=purpose,
        version=wording.version,
        language=language,
        digest=wording.digest(language),
    )


def _keep(row: Consent) -> bool:
    """Save a consent; return False when it is in force already, also by another browser."""
    try:
        with transaction.atomic():
            row.save(force_insert=True)
            audit.record_installation(row.user, "consent.given", row)
    except IntegrityError:
        return False
    return True


def row_words(row: Consent) -> str:
    """Return the words that a consent was given to."""
    return wordings.of_version(Purpose(row.purpose), row.version).text(row.language)


def withdraw(
    person: User, purposes: Iterable[Purpose], withdrawn_in: Channel, *, by: User | None = None
) -> int:
    """End consents; return how many were in force. Without the newsletter nothing is measured."""
    ended = set(purposes)
    if Purpose.NEWSLETTER in ended:
        ended.add(Purpose.TRACKING)
    with transaction.atomic():
        open_rows = Consent.objects.select_for_update().filter(user=person, withdrawn_at=None)
        rows = list(open_rows.filter(purpose__in=ended))
        for row in rows:
            row.withdrawn_at, row.withdrawn_in = clock.now(), withdrawn_in
            row.save(update_fields=["withdrawn_at", "withdrawn_in"])
            audit.record_installation(by or person, "consent.withdrawn", row)
    return len(rows)


def withdraw_all(person: User, withdrawn_in: Channel, *, by: User | None = None) -> int:
    """End everything that rests on consent, as an objection to marketing does (article 21(3))."""
    return withdraw(person, list(Purpose), withdrawn_in, by=by)


def withdrawal_token(person: User) -> str:
    """Return the token of the link that ends the person's consents without a sign-in."""
    until = clock.now() + timedelta(days=WITHDRAW_DAYS)
    return links.make(WITHDRAW, {"person": str(person.pk)}, until)


def check_withdrawal(token: str) -> None:
    """Raises links.LinkInvalid, links.LinkExpired."""
    links.read(WITHDRAW, token)


def withdraw_by_link(token: str) -> None:
    """End all consents of whom the link is about; again, or without an account, nothing happens.

    Raises links.LinkInvalid, links.LinkExpired.
    """
    person_id = UUID(links.read(WITHDRAW, token)["person"])
    with person_context(person_id):
        person = User.objects.filter(pk=person_id).first()
        if person is not None:
            withdraw_all(person, Channel.MAIL)
