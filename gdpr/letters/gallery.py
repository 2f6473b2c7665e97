# SPDX-License-Identifier: AGPL-3.0-or-later
"""Every kind of letter with invented data, for those who answer for the words.

Nothing is saved and nobody is written to; who answers is what the settings say.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from uuid import UUID

from accounts.models import User
from gdpr import deadlines
from gdpr.letters import writing
from gdpr.letters.drafts import Draft
from gdpr.letters.writing import Abuse, Cover, Proof
from gdpr.models import Package, Request, RequestedRight, Right

RECEIVED_AT = datetime(2026, 11, 2, 9, tzinfo=UTC)
DAY = deadlines.day_of(RECEIVED_AT)
LINK = "https://relay.example/certificate"

# In the languages of letters: staff write in the person's.
REASONS = {
    "da": "Oplysningerne er nødvendige for et krav, som er indbragt for byretten (artikel 17,"
    " stk. 3, litra e).\nDe slettes, når sagen er endeligt afgjort.",
    "en": "The data are needed for a claim that is before the district court (article 17(3)(e))."
    "\nThey are erased when the case is finally decided.",
}
LONGER = {
    "da": "Anmodningen drejer sig om fire konti hos fire kunder, og hver række skal læses igennem,"
    " fordi den nævner andre personer.",
    "en": "The request is about four accounts with four customers, and each row has to be read,"
    " because it names other people.",
}
UNKNOWN = {
    "da": "Vi har ingen konto med det navn og den adresse, som står i anmodningen.",
    "en": "We have no account with the name and the address that the request gives.",
}
REPEATED = {
    "da": "Vi har slettet det, der kan slettes, og der er intet nyt siden det sidste svar.",
    "en": "We have erased what can be erased, and there is nothing new since the last answer.",
}
EVIDENCE = {
    "da": "Den samme anmodning er modtaget fire gange mellem 3. og 21. oktober 2026, og den er"
    " besvaret hver gang.",
    "en": "The same request was received four times between 3 and 21 October 2026, and each of"
    " them was answered.",
}
CHANGED = {
    "da": "Kravet, som vi henviste til, er afgjort. Vi har derfor slettet oplysningerne i dag.",
    "en": "The claim that we referred to is decided. We have therefore erased the data today.",
}
GROUND = {
    "da": "du har bestridt, at oplysningerne er rigtige (artikel 18, stk. 1, litra a)",
    "en": "you have contested that the data are accurate (article 18(1)(a))",
}
QUESTION = {
    "da": "Hvilken af de to konti drejer det sig om: den for Duehuset ApS eller din egen?",
    "en": "Which of the two accounts is it about: the one of Duehuset ApS, or your own?",
}


def sample(kind: str, language: str) -> Draft:
    """Return a letter of this kind. Raises KeyError, Incomplete."""
    draft = SAMPLES[kind](language)
    assert draft is not None, "somebody is written to"
    return draft


def _person(language: str) -> User:
    return User(first_name="Anna", last_name="Due", email="anna@due.example", language=language)


def _row(language: str, right: Right = Right.ERASURE) -> RequestedRight:
    request = Request(
        id=UUID("3f1c9a52-0000-4000-8000-000000000000"),
        person=_person(language),
        language=language,
        received_at=RECEIVED_AT,
    )
    clock = deadlines.clock(RECEIVED_AT, RECEIVED_AT)
    return RequestedRight(
        request=request, right=right, promised_on=clock.promised_on, due_on=clock.due_on
    )


def _again(language: str) -> RequestedRight:
    row, first = _row(language), _row(language)
    row.request.id = UUID("91b04de7-0000-4000-8000-000000000000")
    row.second_look_of = first
    return row


def _proof(language: str) -> Proof:
    return Proof(Abuse.EXCESSIVE, EVIDENCE[language], Decimal(650))


def _package(language: str) -> Package:
    row = _row(language, Right.ACCESS)
    assert row.request.person is not None
    ends_at = RECEIVED_AT + timedelta(days=9)
    return Package(right=row, person=row.request.person, expires_at=ends_at)


def _cover(language: str, **ends: date) -> Cover:
    return Cover(reference="5b7e02d1", link=LINK, link_days=90, reasons=REASONS[language], **ends)


SAMPLES: dict[str, Callable[[str], Draft | None]] = {
    "received": lambda code: writing.received(_row(code, Right.OBJECTION)),
    "question": lambda code: writing.question(_row(code), QUESTION[code], stands_still=True),
    "reminder": lambda code: writing.reminder(_row(code), QUESTION[code], DAY),
    "extended": lambda code: writing.extended(_row(code), LONGER[code], RECEIVED_AT),
    "package-ready": lambda code: writing.package_ready(_package(code)),
    "done": lambda code: writing.done(_row(code, Right.RECTIFICATION)),
    "partly-done": lambda code: writing.partly_done(_row(code), REASONS[code]),
    "refused": lambda code: writing.refused(_row(code), REASONS[code]),
    "unfounded": lambda code: writing.unfounded(_row(code), REPEATED[code], _proof(code)),
    "fee": lambda code: writing.fee(_row(code), REPEATED[code], _proof(code)),
    "not-identifiable": lambda code: writing.not_identifiable(_row(code), UNKNOWN[code]),
    "withdrawn": lambda code: writing.withdrawn(_row(code, Right.OBJECTION)),
    "second-look-asked": lambda code: writing.again_asked(_again(code)),
    "second-look-upheld": lambda code: writing.again_upheld(_again(code), REASONS[code]),
    "second-look-changed": lambda code: writing.again_changed(_again(code), CHANGED[code]),
    "lifting": lambda code: writing.lifting(_person(code), GROUND[code], DAY),
    "erased": lambda code: writing.erased(
        "anna@due.example", "Anna Due", code, _cover(code, until=DAY)
    ),
    "erased-in-part": lambda code: writing.erased(
        "anna@due.example", "Anna Due", code, _cover(code, kept_until=DAY)
    ),
}
