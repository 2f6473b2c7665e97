# SPDX-License-Identifier: AGPL-3.0-or-later
"""Mail that asks for TLS by itself goes over a checked connection, or not at all."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from uuid import uuid4

import pytest

from accounts.models import Organisation
from relay.models import Route
from relay.queue import Accepted
from relay.smtp.tls import TlsPolicy
from relay.transports import RouteTarget
from tests.relay import mail
from tests.relay.stage import carry, to_house
from tests.testbed.certificates import Authority
from tests.testbed.smtp import FarEnd, Script

pytestmark = pytest.mark.django_db(transaction=True)

WITHOUT = (Route.Security.NONE, Route.Security.OPPORTUNISTIC)


def demanding(house: Organisation, **more) -> Accepted:
    return replace(mail.message(house.id, **more), require_tls=True)


def verbs(far_end: FarEnd) -> set[str]:
    return {command.split(" ")[0] for command in far_end.commands}


@pytest.mark.parametrize("security", WITHOUT)
def test_it_waits_where_the_server_has_no_tls(house: Organisation, security: str) -> None:
    plain = mail.message(house.id, content=b"Subject: aaben\r\n\r\n")
    to = to_house(house, security=security)
    far_end = carry(Script(), demanding(house), plain, prepare=to)
    assert [one.content for one in far_end.ledger] == [plain.content]
    assert mail.rows("SELECT reason, attempts FROM relay_queueddelivery") == [("tls", 1)]
    assert mail.rows("SELECT enhanced FROM relay_attempt WHERE verdict = 'retry'") == [("4.7.4",)]
    # Neither the route nor its other mail suffers for it.
    assert mail.rows("SELECT failures, rest_until FROM relay_route") == [(0, None)]


@pytest.mark.parametrize("security", WITHOUT)
def test_it_goes_over_tls_where_the_route_could_do_without(
    house: Organisation, security: str, authority: Authority
) -> None:
    to = to_house(house, security=security)
    far_end = carry(Script(), demanding(house), prepare=to, authority=authority)
    assert [one.tls for one in far_end.ledger] == [True]
    assert mail.rows("SELECT verdict, tls_verified FROM relay_attempt") == [("delivered", True)]


def test_a_false_certificate_is_no_tls(
    house: Organisation, authority: Authority, tmp_path_factory: pytest.TempPathFactory
) -> None:
    other = Authority(tmp_path_factory.mktemp("other"))
    authority.server = other.server  # type: ignore[method-assign] # signed by nobody who is known
    to = to_house(house, security=Route.Security.OPPORTUNISTIC)
    far_end = carry(Script(), demanding(house), prepare=to, authority=authority)
    assert "MAIL" not in verbs(far_end)
    assert mail.rows("SELECT reason, attempts FROM relay_queueddelivery") == [("tls", 1)]


def test_its_sender_is_told_when_its_time_is_up(house: Organisation) -> None:
    mail.execute("UPDATE accounts_organisation SET queue_lifetime_hours = 4")
    late = demanding(house, ago=timedelta(hours=4))
    far_end = carry(Script(), late, prepare=to_house(house))
    (notice,) = far_end.ledger
    assert (notice.sender, notice.recipients) == ("", ["Post@due.example"])
    assert b"offers no TLS" in notice.content
    assert (
        mail.value("SELECT state FROM relay_delivery WHERE message_id = %s", late.id) == "expired"
    )


def test_other_mail_may_use_the_checked_connection_but_not_the_reverse() -> None:
    plain = RouteTarget(route_id=uuid4(), host="x.example", port=25, tls=TlsPolicy.OPPORTUNISTIC)
    demanded = plain.demanding_tls()
    assert demanded.tls is TlsPolicy.STARTTLS
    assert demanded.serves(plain)
    assert not plain.serves(demanded)
    for tls in (TlsPolicy.STARTTLS, TlsPolicy.IMPLICIT):
        checked = replace(plain, tls=tls)
        assert checked.demanding_tls() is checked
