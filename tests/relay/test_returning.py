# SPDX-License-Identifier: AGPL-3.0-or-later
"""Mail that this service or a provider delivers reports here; of a customer's server none."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

from accounts.ids import uuid7, uuid7_time
from accounts.models import Organisation
from relay import returnpaths
from relay.models import DomainRecord, SendingDomain
from relay.queue import Leased, Work
from relay.returning import Returning
from relay.returnpaths import ReturnPath
from relay.smtp.envelope import Envelope, Recipient
from relay.transports import RouteTarget
from tests import build
from tests.relay import mail
from tests.relay.test_routing import cut_other_connections

pytestmark = pytest.mark.django_db(transaction=True)

OURS = "retur.brevdue.example"
DIRECT = RouteTarget(route_id=uuid4(), kind="direct", destination="modtager.example")


def leased(position: int, recipient: Recipient) -> Leased:
    return Leased(
        id=position + 1,
        fence=1,
        position=position,
        recipient=recipient,
        attempts=0,
        expires_at=mail.now() + timedelta(hours=72),
        reason="new",
        possible_duplicate=False,
        delayed_notice_at=None,
    )


def work(house: Organisation, *recipients: Recipient, **of: Any) -> Work:
    identifier = uuid7(mail.now())
    facts: dict[str, Any] = {
        "message_id": identifier,
        "accepted_at": uuid7_time(identifier),
        "organisation_id": house.id,
        "is_sandbox": False,
        "sender": "Post@due.example",
        "domain": "due.example",
        "body": "8BITMIME",
        "smtputf8": False,
        "ret": "FULL",
        "envid": "QQ314159",
        "hour_key_id": "k",
        "wrapped_key": b"",
        "ciphertext": b"",
        "deliveries": tuple(leased(n, one) for n, one in enumerate(recipients)),
    }
    return Work(**facts | of)


ERIK = Recipient("Erik+1@modtager.example", notify="SUCCESS,FAILURE", orcpt="")
BO = Recipient("bo@modtager.example", notify="NEVER", orcpt="rfc822;b+2Bo@x.example")


def envelope(
    of: Work, target: RouteTarget = DIRECT, positions: tuple[int, ...] = (), domain: str = OURS
) -> Envelope:
    recipients = [one for one in of.deliveries if not positions or one.position in positions]

    async def asked() -> Envelope:
        paths = Returning(mail.dsn(), domain, mail.now)
        try:
            return await paths.envelope(of, target, recipients)
        finally:
            await paths.close()

    return mail.run(asked())


def proven(house: Organisation, name: str, state: str = "found", **of: Any) -> None:
    with build.as_owner():
        domain = SendingDomain.objects.create(
            organisation=house, name=name, token="x", created_at=build.NOW,
            **{"state": "verified"} | of,
        )  # fmt: skip
        DomainRecord.objects.create(
            organisation=house, domain=domain, kind="return_path", state=state
        )


@pytest.mark.behaviour(42)
def test_envelope_of_a_customers_own_server_is_as_it_was_given(house: Organisation) -> None:
    proven(house, "due.example")
    mine = work(house, ERIK, BO)
    target = RouteTarget(route_id=uuid4(), kind="own", host="mail.kunde.example")
    assert envelope(mine, target) == Envelope(
        sender="Post@due.example",
        recipients=(ERIK, BO),
        body="8BITMIME",
        ret="FULL",
        envid="QQ314159",
    )


def test_return_path_names_the_recipient_or_says_that_there_are_several(
    house: Organisation,
) -> None:
    mine = work(house, ERIK, BO)
    for positions, expected in (((0,), 0), ((1,), 1), ((), None)):
        local, _, host = envelope(mine, positions=positions).sender.partition("@")
        path = ReturnPath(mine.message_id, expected)
        assert (returnpaths.read(local, mail.now()), host) == (path, OURS)
        assert "post" not in local


@pytest.mark.behaviour(42)
@pytest.mark.parametrize("domain", [OURS, ""])
def test_provider_is_told_a_mark_and_never_the_sender(house: Organisation, domain: str) -> None:
    mine, target = work(house, ERIK, BO), RouteTarget(route_id=uuid4(), kind="esp")
    for positions, expected in (((0,), 0), ((1,), 1), ((), None)):
        mark = envelope(mine, target, positions, domain).sender
        assert returnpaths.read(mark, mail.now()) == ReturnPath(mine.message_id, expected)


def test_reports_are_asked_for_as_this_service_needs_them(house: Organisation) -> None:
    sent = envelope(work(house, ERIK, BO))
    assert (sent.ret, sent.envid, sent.body) == ("HDRS", "", "8BITMIME")
    assert sent.recipients == (
        Recipient(ERIK.address, "", "rfc822;Erik+2B1@modtager.example"),
        Recipient(BO.address, "", BO.orcpt),
    )


def test_address_beyond_ascii_is_sent_without_its_repetition(house: Organisation) -> None:
    soeren = Recipient("søren@modtager.example")
    assert envelope(work(house, soeren)).recipients == (soeren,)


@pytest.mark.parametrize("target", [DIRECT, RouteTarget(route_id=uuid4(), kind="esp")])
def test_null_sender_stays_null(house: Organisation, target: RouteTarget) -> None:
    mine = work(house, BO, sender="")
    assert envelope(mine, target) == mine.envelope(mine.deliveries)


def test_without_a_domain_nothing_is_changed(house: Organisation) -> None:
    mine = work(house, BO)
    assert envelope(mine, domain="") == mine.envelope(mine.deliveries)


@pytest.mark.parametrize(
    ("domain", "host"),
    [
        ("due.example", "bounce.due.example"),
        ("nyt.due.example", "retur.nyt.due.example"),
        ("a.b.due.example", "bounce.due.example"),
        ("overdue.example", OURS),
        ("andetsteds.example", OURS),
    ],
)
def test_host_is_of_the_nearest_domain_whose_record_leads_here(
    house: Organisation, domain: str, host: str
) -> None:
    proven(house, "due.example")
    proven(house, "nyt.due.example", return_path="retur")
    mine = work(house, BO, domain=domain)
    assert envelope(mine).sender.rpartition("@")[2] == host


@pytest.mark.parametrize("of", [{"state": "missing"}, {"state": "wrong"}])
def test_record_that_does_not_lead_here_is_not_relied_on(
    house: Organisation, of: dict[str, str]
) -> None:
    proven(house, "due.example", of["state"])
    assert envelope(work(house, BO)).sender.endswith(f"@{OURS}")


def test_domain_of_somebody_else_is_no_host(house: Organisation) -> None:
    proven(mail.organisation("Andre ApS"), "due.example")
    assert envelope(work(house, BO)).sender.endswith(f"@{OURS}")


def test_many_ask_over_one_connection_and_wait_for_a_database_that_is_away(
    house: Organisation,
) -> None:
    """Jobs ask side by side; the outage of one must not use up the tries of the others."""
    proven(house, "due.example")
    names = [f"n{number}.due.example" for number in range(20)]
    many = [work(house, BO, domain=name) for name in names]

    async def hosts() -> set[str]:
        paths = Returning(mail.dsn(), OURS, mail.now)
        try:
            await paths.envelope(work(house, BO), DIRECT, many[0].deliveries)
            await cut_other_connections()
            sent = await asyncio.gather(
                *(paths.envelope(one, DIRECT, one.deliveries) for one in many)
            )
        finally:
            await paths.close()
        return {one.sender.rpartition("@")[2] for one in sent}

    assert mail.run(hosts()) == {"bounce.due.example"}


def test_host_is_looked_up_once_a_minute(house: Organisation) -> None:
    mine, later = work(house, BO), [timedelta()]

    async def hosts() -> list[str]:
        paths = Returning(mail.dsn(), OURS, lambda: mail.now() + later[0])
        found = []
        for step in (timedelta(), timedelta(), timedelta(minutes=2)):
            later[0] = step
            sent = await paths.envelope(mine, DIRECT, mine.deliveries)
            found.append(sent.sender.rpartition("@")[2])
            async with await mail.session("owner") as owner:
                await owner.execute("UPDATE relay_domainrecord SET state = 'found'")
        await paths.close()
        return found

    proven(house, "due.example", "missing")
    assert mail.run(hosts()) == [OURS, OURS, "bounce.due.example"]
