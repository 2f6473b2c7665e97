# SPDX-License-Identifier: AGPL-3.0-or-later
"""A domain's records, asked for at real name servers, and what is kept of them."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from pytest_django.fixtures import Settings

from accounts.models import Organisation
from accounts.tenancy import organisation_context
from relay import nameservers, records
from relay.models import DkimKey, DomainRecord, SendingDomain
from relay.records import Kind, Looks, Place
from relay.smtp.published import Finding, Seen
from tests import build
from tests.build import NOW
from tests.testbed.dns import Failure, NameServer

pytestmark = pytest.mark.django_db

RETURN, SPF, DKIM, DMARC = Kind
FOUND, MISSING, WRONG, SEVERAL, WEAK, UNREACHABLE = Finding
OURS = "retur.brevdue.example"
# What the operator publishes.
OPERATOR = f"""
{OURS}. 60 IN MX 10 {OURS}.
{OURS}. 60 IN TXT "v=spf1 include:_spf.{OURS} -all"
"""


def domain(name: str = "kunde.example") -> SendingDomain:
    return SendingDomain(name=name, token="t" * 32, created_at=NOW)


def key(selector: str = "bdabc", public: str = "QUJD") -> DkimKey:
    return DkimKey(selector=selector, algorithm=DkimKey.Algorithm.RSA, public=public)


@pytest.fixture(autouse=True)
def _settings(settings: Settings) -> None:
    settings.RELAY_BOUNCE_DOMAIN = OURS
    settings.RELAY_SPF_INCLUDE = ""


def looks(zone: str, settings: Settings, *keys: DkimKey, fails: str | None = None) -> Looks:
    with NameServer(OPERATOR + zone) as name_server:
        settings.RELAY_RESOLVER = [name_server.server]
        if fails is not None:
            name_server.fail(fails, Failure.SERVFAIL)
        return asyncio.run(records.look(domain(), keys, nameservers.asker()))


@pytest.mark.parametrize(
    ("zone", "way_back", "senders"),
    [
        (f"bounce.kunde.example. 60 IN CNAME {OURS}.", FOUND, FOUND),
        (f"bounce.kunde.example. 60 IN CNAME {OURS.upper()}.", FOUND, FOUND),
        ("bounce.kunde.example. 60 IN CNAME x.kunde.example.\n"
         f"x.kunde.example. 60 IN CNAME {OURS}.", FOUND, FOUND),
        (f"bounce.kunde.example. 60 IN MX 10 {OURS}.", FOUND, MISSING),
        (f"bounce.kunde.example. 60 IN MX 5 {OURS}.\n"
         f'bounce.kunde.example. 60 IN TXT "v=spf1 include:_spf.{OURS} " "-all"', FOUND, FOUND),
        (f"bounce.kunde.example. 60 IN MX 5 {OURS}.\n"
         "bounce.kunde.example. 60 IN MX 9 mx.kunde.example.", WRONG, MISSING),
        ("bounce.kunde.example. 60 IN CNAME mail.kunde.example.", WRONG, MISSING),
        ("bounce.kunde.example. 60 IN A 192.0.2.1", MISSING, MISSING),
        ('bounce.kunde.example. 60 IN TXT "v=spf1 -all"\n'
         'bounce.kunde.example. 60 IN TXT "v=spf1 mx -all"', MISSING, SEVERAL),
        ("", MISSING, MISSING),
    ],
)  # fmt: skip
def test_way_back_is_an_alias_or_a_mail_exchange_of_ours(
    settings: Settings, zone: str, way_back: Finding, senders: Finding
) -> None:
    found = looks(zone, settings)
    assert found[Place(RETURN)].finding is way_back
    assert found[Place(SPF)].finding is senders


def test_what_leads_elsewhere_is_shown(settings: Settings) -> None:
    found = looks("bounce.kunde.example. 60 IN CNAME mail.kunde.example.", settings)
    assert found[Place(RETURN)].text == "mail.kunde.example"


def test_key_is_looked_for_at_its_selector(settings: Settings) -> None:
    ours, other = key(), key("bdxyz")
    found = looks(
        'bdabc._domainkey.kunde.example. 60 IN TXT "v=DKIM1; p=Q" "UJD"', settings, ours, other
    )
    assert found[Place(DKIM, ours.id)] == Seen(finding=FOUND, text="v=DKIM1; p=QUJD")
    assert found[Place(DKIM, other.id)].finding is MISSING


@pytest.mark.parametrize(
    ("zone", "finding"),
    [
        ('_dmarc.kunde.example. 60 IN TXT "v=DMARC1; p=none"', FOUND),
        ('_dmarc.example. 60 IN TXT "v=DMARC1; p=reject"', FOUND),
        ('kunde.example. 60 IN TXT "v=DMARC1; p=none"', MISSING),
    ],
)
def test_policy_is_looked_for_at_its_name_and_above(
    settings: Settings, zone: str, finding: Finding
) -> None:
    assert looks(zone, settings)[Place(DMARC)].finding is finding


def test_one_record_that_cannot_be_asked_for_leaves_the_others(settings: Settings) -> None:
    ours = key()
    zone = '_dmarc.kunde.example. 60 IN TXT "v=DMARC1; p=none"'
    found = looks(zone, settings, ours, fails="_domainkey.kunde.example")
    assert found[Place(DKIM, ours.id)].finding is UNREACHABLE
    assert found[Place(DMARC)].finding is FOUND


def test_without_a_way_back_none_is_asked_for(settings: Settings) -> None:
    settings.RELAY_BOUNCE_DOMAIN = ""
    assert records.return_path(domain()) is None
    with NameServer() as name_server:
        settings.RELAY_RESOLVER = [name_server.server]
        found = asyncio.run(records.look(domain(), (), nameservers.asker()))
        assert {place.kind for place in found} == {DMARC}
        assert not [name for name, _ in name_server.queries if name.startswith("bounce")]


def test_no_search_list_is_put_behind_a_name(settings: Settings) -> None:
    with NameServer() as name_server:
        settings.RELAY_RESOLVER = [name_server.server]
        asyncio.run(records.look(domain(), (), nameservers.asker()))
        asked = {name for name, _ in name_server.queries}
    assert asked == {"bounce.kunde.example", "_dmarc.kunde.example", "_dmarc.example"}


def test_what_is_to_be_published_is_written_out(settings: Settings) -> None:
    item, ours = domain("bøger.example".encode("idna").decode()), key(public="A" * 392)
    back = records.return_path(item)
    assert back is not None
    assert (back.name, back.type, back.value) == ("bounce.xn--bger-gra.example", "CNAME", OURS)
    exchange, senders = records.mail_exchange(item)
    assert (exchange.type, exchange.value) == ("MX", f"10 {OURS}")
    assert senders.value == f"v=spf1 include:_spf.{OURS} -all"
    settings.RELAY_SPF_INCLUDE = "spf.brevdue.example"
    assert "include:spf.brevdue.example " in records.mail_exchange(item)[1].value
    record = records.key(item, ours)
    assert record.name == "bdabc._domainkey.xn--bger-gra.example"
    assert record.value == "v=DKIM1; k=rsa; p=" + "A" * 392
    assert record.is_long
    assert record.quoted.count('"') == 4
    assert not records.dmarc(item).is_long


def test_each_finding_has_a_state() -> None:
    assert {str(finding) for finding in Finding} == set(DomainRecord.State.values) - {"unchecked"}


@pytest.fixture
def kept(organisation: Organisation) -> SendingDomain:
    with build.as_owner():
        return SendingDomain.objects.create(
            organisation=organisation, name="kunde.example", token="t", created_at=NOW
        )


def write(
    item: SendingDomain, seen: Seen, *, hours: int = 0, kind: DomainRecord.Kind = DMARC
) -> DomainRecord:
    with organisation_context(item.organisation_id):
        records.write(item, {Place(kind): seen}, NOW + timedelta(hours=hours))
        return DomainRecord.objects.get(domain=item, kind=kind)


def test_record_is_kept_once_with_when_it_was_found_last(kept: SendingDomain) -> None:
    row = write(kept, Seen(finding=MISSING))
    assert (row.state, row.found_at, row.checked_at) == ("missing", None, NOW)
    row = write(kept, Seen(finding=FOUND, text="v=DMARC1; p=none"), hours=1)
    assert (row.state, row.found_at) == ("found", NOW + timedelta(hours=1))
    row = write(kept, Seen(finding=UNREACHABLE), hours=2)
    assert (row.state, row.found_at) == ("unreachable", NOW + timedelta(hours=1))
    assert row.checked_at == NOW + timedelta(hours=2)
    row = write(kept, Seen(finding=WEAK, text="x"), hours=3)
    assert row.found_at == NOW + timedelta(hours=3)


def test_what_strangers_publish_is_cut_to_what_can_be_kept(kept: SendingDomain) -> None:
    row = write(kept, Seen(finding=WRONG, text="a\0b" + "c" * 1000))
    assert row.seen.startswith("abccc")
    assert len(row.seen) == 300


def test_whose_address_reports_go_to_is_not_kept(kept: SendingDomain) -> None:
    row = write(kept, Seen(finding=FOUND, text="v=DMARC1; p=none; rua=mailto:anna@kunde.example"))
    assert row.seen == "v=DMARC1; p=none; rua=mailto:***"
