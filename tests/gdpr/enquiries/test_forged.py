# SPDX-License-Identifier: AGPL-3.0-or-later
"""A hundred forged requests in ten styles: nothing is disclosed, nothing is erased, and Erik's own
request goes its way beside them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.test import Client

from accounts import links
from accounts.models import Organisation, User
from gdpr.enquiries import proving
from gdpr.models import Erasure, ForwardedRequest, Request
from relay.models import Delivery, Message, Suppression
from tests import build
from tests.accounts.conftest import Clock
from tests.accounts.visiting import at, visit
from tests.gdpr.enquiries.desk import (
    ERIK,
    EVERYONE,
    ask,
    forwarded,
    has_mailed,
    mails,
    owns,
    prove,
    tokens,
    work,
)

pytestmark = pytest.mark.django_db

EACH = 10
GITTE = "gitte@fremmed.example"
SECRETS = ("Duehuset", "anna@due.example")


@dataclass
class Forger:
    """Asks from ever new networks, and keeps every answer that came back."""

    clock: Clock
    stranger: Client
    row: ForwardedRequest
    answers: list[Any] = field(default_factory=list)
    tried: int = 0

    def ask(self, **changed: Any) -> None:
        self.tried += 1
        self.answers.append(ask(network=f"198.51.100.{len(self.answers) % 250}", **changed))

    def open(self, token: str, *methods: str, **headers: str) -> None:
        self.tried += 1
        for method in methods or ("get", "post"):
            call = getattr(Client(), method)
            self.answers.append(call(at("gdpr:enquiry-confirm", token), headers=headers))

    def work(self) -> None:
        work(self.clock.now)


def spoofed_from(forger: Forger) -> None:
    """In another's name, with the header of a mail that the forger never got."""
    for number in range(EACH):
        header = f"From: a@due.example\nDKIM-Signature: d=due.example\nMessage-ID: <{number}@x.y>"
        forger.ask(sender="", header=header, rights=["erasure"])
    forger.work()


def injected_headers(forger: Forger) -> None:
    for tail in (
        "\r\nBcc: gitte@fremmed.example", "\nTo: gitte@fremmed.example", "%0d%0aBcc: a@b.example",
        ",gitte@fremmed.example", ";gitte@fremmed.example", " gitte@fremmed.example", "\x00",
        ">\r\nRCPT TO:<gitte@fremmed.example", "\u2028Bcc: a@b.example", "\x0bBcc: a@b.example",
    ):  # fmt: skip
        forger.ask(address=ERIK + tail)
    forger.work()


def twins(forger: Forger) -> None:
    """Addresses that look like Erik's and are proven: each is somebody else."""
    for twin in (
        "erik@mоdtager.example", "erik@modtagеr.example", "erik@modtаger.example",
        "erik@xn--mdtager-2fg.example", "erik@modtager.examp1e", "erik@rnodtager.example",
        "erik@modtager.example.fremmed.example", "er1k@modtager.example",
        "erik@modtager-example.example", "erik@sub.modtager.example",
    ):  # fmt: skip
        forger.ask(address=twin, **EVERYONE)
    forger.work()
    _prove_all(forger)


def tagged(forger: Forger) -> None:
    for local in (
        "erik+a", "erik+", "erik-a", "e.rik", "erik.", "erik=x", "erik%x", "erik!x", "'erik'",
        "erik*",
    ):  # fmt: skip
        forger.ask(address=f"{local}@modtager.example", **EVERYONE)
    forger.work()
    _prove_all(forger)


def huge(forger: Forger) -> None:
    big = "x" * 1_000_000
    for changed in (
        {"address": f"{big}@modtager.example"}, {"address": f"erik@{big}.example"},
        {"words": big}, {"sender": big}, {"sender": "", "header": big},
        {"rights": ["access"] * 500}, {"rights": [big]}, {"whom": big},
        {f"field{number}": "x" for number in range(2_000)},
        {"sender": "", "header": "From: " + "<" * 19_000},
    ):  # fmt: skip
        forger.ask(**changed)
    forger.work()


def made_up_tokens(forger: Forger) -> None:
    ask()
    forger.work()
    (token,) = tokens()
    until = forger.clock.now + timedelta(days=1)
    values = {"enquiry": str(uuid4())}
    for made in (
        token[:-4], token[4:], token[:20] + "AAAA" + token[24:], token.swapcase(), "x",
        str(uuid4()), links.make("sign-up", values, until), links.make("enquiry", values, until),
        links.make("address-confirm", values, until), "A" * 3_000,
    ):  # fmt: skip
        forger.open(made)


def too_late(forger: Forger) -> None:
    """Links of ten people, found long after."""
    for number in range(EACH):
        ask(network=f"203.0.113.{number}", address=f"p{number}@fremmed.example", **EVERYONE)
    forger.work()
    found = [tokens(f"p{number}@fremmed.example")[0] for number in range(EACH)]
    forger.clock.forward(seconds=proving.LINK_LIFETIME.total_seconds())
    for token in found:
        forger.open(token)


def of_another(forger: Forger) -> None:
    """Erik's request, and a link that proves Gitte's address: it is worth nothing for Erik's."""
    for _ in range(EACH):
        forger.ask(rights=["erasure"], **EVERYONE)
    ask(network="203.0.113.7", address=GITTE, **EVERYONE)
    forger.work()
    prove(tokens(GITTE)[0])


def across_tenants(forger: Forger) -> None:
    """Carl says things about a request that was passed on to Anna's organisation."""
    path = at("gdpr:inbox-request", forger.row.id)
    for what in ("taken", "answered", "refused", "not_ours", "extend", "new", "", "x"):
        said = {"what": what, "reason": "x", "organisation": str(forger.row.organisation_id)}
        forger.answers.append(forger.stranger.post(path, said))
    forger.answers += [forger.stranger.get(path), forger.stranger.head(path)]
    forger.tried += EACH
    assert {answer.status_code for answer in forger.answers} == {404}


def prefetched(forger: Forger) -> None:
    """What looks into mails opens links: for that nobody has said yes."""
    ask(**EVERYONE)
    forger.work()
    (token,) = tokens()
    for headers in (
        {}, {"Purpose": "prefetch"}, {"Sec-Purpose": "prefetch"}, {"X-Moz": "prefetch"},
        {"User-Agent": "Barracuda Sentinel"}, {"X-HTTP-Method-Override": "POST"},
        {"User-Agent": "Microsoft Outlook"}, {"Accept": "image/*"}, {"Range": "bytes=0-1"},
        {"HX-Request": "true"},
    ):  # fmt: skip
        forger.open(token, "get", "head", "options", **headers)


STYLES: tuple[Callable[[Forger], None], ...] = (
    spoofed_from,
    injected_headers,
    twins,
    tagged,
    huge,
    made_up_tokens,
    too_late,
    of_another,
    across_tenants,
    prefetched,
)


def _prove_all(forger: Forger) -> None:
    """Say yes for every address but Erik's."""
    for letter in mails("enquiry_proof"):
        if letter["to"] != ERIK:
            for token in tokens(letter["to"]):
                prove(token)


@pytest.fixture
def forger(
    clock: Clock, organisation: Organisation, other_organisation: Organisation, carl: User
) -> Forger:
    owns(organisation, "due.example")
    has_mailed(organisation, ERIK)
    return Forger(clock, visit(carl, other_organisation), build.forwarded_to(organisation))


def kept() -> list[int]:
    """How much there is that an erasure would take, and how many requests were opened."""
    with build.as_owner():
        models: Iterable[Any] = (Message, Delivery, Suppression, Request, Erasure, User)
        return [model.objects.count() for model in models]


@pytest.mark.parametrize("style", STYLES, ids=lambda style: style.__name__)
def test_forged_requests_disclose_nothing_and_erase_nothing(
    style: Callable[[Forger], None], forger: Forger
) -> None:
    before = kept()
    style(forger)
    assert forger.tried == EACH
    forger.clock.forward(hours=1)
    forger.work()
    assert [row.id for row in forwarded()] == [forger.row.id]
    assert forwarded()[0].state == ForwardedRequest.State.NEW
    assert kept() == before
    assert {answer.status_code for answer in forger.answers} <= {200, 302, 400, 404, 405}
    told = [answer.content.decode() for answer in forger.answers]
    told += [mail["text"] + mail["html"] for mail in mails()]
    assert [secret for secret in SECRETS for text in told if secret in text] == []
    assert all("\n" not in mail["to"] and mail["to"].count("@") == 1 for mail in mails())


# These ask in Erik's name themselves and look for his only link, or let it go stale.
READ_HIS_LINK = (made_up_tokens, prefetched, too_late)


@pytest.mark.parametrize(
    "style",
    [style for style in STYLES if style not in READ_HIS_LINK],
    ids=lambda style: style.__name__,
)
def test_genuine_request_goes_its_way_beside_forged_ones(
    style: Callable[[Forger], None], forger: Forger
) -> None:
    ask(network="192.0.2.200")
    work(forger.clock.now)
    (mine,) = tokens()
    style(forger)
    prove(mine)
    forger.clock.forward(hours=1)
    forger.work()
    assert len(forwarded()) == 2


@pytest.mark.parametrize("words", ["<script>alert(1)</script>", "a\r\nBcc: x@y.example", "{{ x }}"])
def test_words_are_shown_as_they_are_and_mailed_to_nobody(
    words: str, forger: Forger, organisation: Organisation, anna: User
) -> None:
    ask(words=words)
    forger.work()
    prove(tokens()[0])
    forger.clock.forward(hours=1)
    forger.work()
    (row,) = [row for row in forwarded() if row.id != forger.row.id]
    text = visit(anna, organisation).get(at("gdpr:inbox-request", row.id)).text
    assert "<script>alert" not in text
    letters = "".join(mail["subject"] + mail["text"] + mail["html"] for mail in mails())
    assert "alert(1)" not in letters
    assert "Bcc" not in letters
