# SPDX-License-Identifier: AGPL-3.0-or-later
"""Signatures on mail on its way out, as the far end has it; as the role `relay`."""

from __future__ import annotations

from pathlib import Path
from uuid import UUID

import pytest

from accounts import vault
from accounts.models import Organisation
from accounts.vault import VaultError
from relay import dkimkeys
from relay.models import DkimKey, DkimSecret, SendingDomain
from relay.queue import Work
from relay.signing import DomainSigner
from relay.smtp import dkim
from relay.smtp.dkim import Algorithm
from relay.smtp.headers import ContentError, check_lines
from relay.transports import RouteTarget
from tests import build
from tests.relay import mail
from tests.relay.smtp.signatures import (
    ED25519,
    RSA,
    key,
    needs_opendkim,
    opendkim_verifies,
    verifies,
)
from tests.relay.stage import carry, to_house
from tests.testbed.smtp import Script

pytestmark = pytest.mark.django_db(transaction=True)

CONTENT = (
    b"Received: by relay.brevdue.example with ESMTPSA\r\n"
    b"\tid 1; Sun, 22 Nov 2026 05:00:00 +0000\r\n"
    b"From: Anna <anna@kunde.example>\r\nTo: erik@modtager.example\r\nSubject: Faktura\r\n"
    b"Date: Sun, 22 Nov 2026 05:00:00 +0000\r\nMessage-ID: <1@kunde.example>\r\n"
    b"\r\nHej \t\r\n.\r\n..\r\n\r\n"
)
OWN = RouteTarget(route_id=UUID(int=1), host="mail.kunde.example", port=25)


@pytest.fixture
def house() -> Organisation:
    return mail.organisation()


def domain(house: Organisation, name: str = "kunde.example", **fields: object) -> SendingDomain:
    values = {"state": SendingDomain.State.VERIFIED, "verified_at": build.NOW} | fields
    with build.as_owner():
        return SendingDomain.objects.create(
            organisation=house, name=name, token="t", created_at=build.NOW, **values
        )


def signs_with(of: SendingDomain, algorithm: Algorithm = RSA, **fields: object) -> DkimKey:
    """Keep a key of the run as one that signs for a domain."""
    pair = key(algorithm, of.name)
    values = {"signs_since": build.NOW} | fields
    with build.as_owner():
        row = DkimKey.objects.create(
            organisation=of.organisation, domain=of, selector=pair.selector, algorithm=algorithm,
            public=dkim.public_text(pair.secret), created_at=build.NOW, **values,
        )  # fmt: skip
        sealed = vault.seal(
            dkimkeys.SECRET_PURPOSE, dkim.written(pair.secret), organisation_id=of.organisation_id
        )
        DkimSecret.objects.create(key=row, organisation=of.organisation, sealed=sealed)
    return row


def arrived(house: Organisation, content: bytes = CONTENT) -> bytes:
    """What the far end has of a message."""
    mail.execute("DELETE FROM relay_route")  # of a far end that is gone
    message = mail.message(house.id, sender="post@kunde.example", content=content)
    (received,) = carry(Script(), message, prepare=to_house(house)).ledger
    return bytes(received.content)


@pytest.mark.behaviour(39)
def test_mail_arrives_with_signatures_that_verify(house: Organisation) -> None:
    kunde = domain(house)
    signs_with(kunde, ED25519)
    signs_with(kunde, RSA)
    received = arrived(house)
    assert verifies(received, key(RSA), key(ED25519)) == [True, True]
    assert received.index(b"a=rsa-sha256") < received.index(b"a=ed25519-sha256")
    assert received.endswith(CONTENT)


@needs_opendkim
@pytest.mark.behaviour(39)
def test_what_arrives_verifies_for_opendkim(house: Organisation, tmp_path: Path) -> None:
    signs_with(domain(house))
    received = arrived(house)
    forged = received.replace(b"Faktura", b"Rykker")
    assert opendkim_verifies([received, forged], tmp_path, key()) == [True, False]


@pytest.mark.behaviour(39)
def test_name_below_is_signed_for_by_the_nearest_that_has_a_key(house: Organisation) -> None:
    signs_with(domain(house))
    content = CONTENT.replace(b"anna@kunde", b"anna@post.kunde")
    assert verifies(arrived(house, content), key()) == [True]
    signs_with(domain(house, "post.kunde.example"))
    received = arrived(house, content)
    assert b"d=post.kunde.example;" in received
    assert verifies(received, key(RSA, "post.kunde.example")) == [True]


@pytest.mark.behaviour(39)
@pytest.mark.parametrize(
    ("of_domain", "of_key"),
    [
        ({}, {"signs_since": None}),
        ({}, {"retired_at": build.NOW}),
        ({"state": SendingDomain.State.PENDING}, {}),
        ({"name": "under.kunde.example"}, {}),
        ({"name": "unde.example"}, {}),
    ],
)
def test_mail_of_nobody_with_a_key_arrives_as_it_is(
    house: Organisation, of_domain: dict[str, object], of_key: dict[str, object]
) -> None:
    signs_with(domain(house, **of_domain), **of_key)  # type: ignore[arg-type]
    assert arrived(house) == CONTENT


def test_key_of_another_organisation_signs_nothing(house: Organisation) -> None:
    signs_with(domain(mail.organisation("Andet Hus A/S")))
    assert arrived(house) == CONTENT


SAMPLES = [
    # A signature of the customer's own.
    CONTENT,
    # S/MIME and OpenPGP: boundaries, folding and spaces as their programs leave them.
    CONTENT.replace(
        b"\r\n\r\nHej",
        b"\r\nMIME-Version: 1.0\r\nContent-Type: multipart/signed;\r\n\tboundary=\"----=_x\"; \r\n"
        b" protocol=\"application/pkcs7-signature\"; micalg=sha-256\r\n\r\n------=_x\r\n"
        b"Content-Type:text/plain;charset=utf-8\r\n\r\nK\xc3\xa6re \r\n--\r\n \r\n"
        b"------=_x\r\n\r\nMIIB\r\n------=_x--\r\n\r\n\r\nHej",
        1,
    ),
    CONTENT.replace(
        b"\r\n\r\nHej",
        b"\r\n\r\n-----BEGIN PGP SIGNED MESSAGE-----\r\nHash: SHA512\r\n\r\n- -- \r\n- ---\r\n"
        b"-----BEGIN PGP SIGNATURE-----\r\n\r\niQ=\r\n=x\r\n-----END PGP SIGNATURE-----\r\nHej",
        1,
    ),
]  # fmt: skip


@pytest.mark.behaviour(40)
@pytest.mark.parametrize("sample", SAMPLES)
def test_what_was_signed_before_is_left_as_it_is(house: Organisation, sample: bytes) -> None:
    foreign = key(ED25519, "anden.example")
    content = mail.run(dkim.signed(sample, [foreign], mail.now()))
    assert verifies(content, foreign) == [True]
    signs_with(domain(house))
    received = arrived(house, content)
    assert received.endswith(content)
    assert verifies(received, key(), foreign) == [True, True]


NEWLINES = [b"\r\n", b"\n", b"\r", b"\r\r\n", b"\n\r\n", b"\r\n.\n", b"\n.\r\n", b"\r.\r\n", b"\0"]


@pytest.mark.behaviour(38)
def test_only_what_has_whole_line_ends_is_signed_and_it_verifies_where_it_arrives(
    house: Organisation,
) -> None:
    signs_with(domain(house))
    accepted = []
    for newline in NEWLINES:
        content = CONTENT + b"slut" + newline + b"mere\r\n..\r\n.\r\n"
        try:
            check_lines(content)
        except ContentError:
            continue
        accepted.append(newline)
        assert verifies(arrived(house, content), key()) == [True]
    assert accepted == [b"\r\n"]


# --- the signer by itself ---


def work(organisation: Organisation) -> Work:
    return Work(
        message_id=UUID(int=7), accepted_at=mail.now(), organisation_id=organisation.id,
        is_sandbox=False, sender="post@kunde.example", domain="kunde.example", body="",
        smtputf8=False, ret="", envid="", hour_key_id="", wrapped_key=b"", ciphertext=None,
        deliveries=(),
    )  # fmt: skip


class Clock:
    """A monotonic clock that a test moves."""

    seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


def test_provider_is_given_mail_as_it_is(house: Organisation) -> None:
    signs_with(domain(house))
    signer = DomainSigner(mail.dsn(), mail.now)

    async def both() -> list[bytes]:
        esp = RouteTarget(route_id=UUID(int=1), kind="esp")
        direct = RouteTarget(route_id=UUID(int=1), kind="direct", destination="modtager.example")
        signed = [await signer.sign(work(house), target, CONTENT) for target in (esp, direct)]
        await signer.close()
        return signed

    by_esp, by_direct = mail.run(both())
    assert by_esp == CONTENT
    assert verifies(by_direct, key()) == [True]


@pytest.mark.behaviour(39)
def test_retired_key_signs_for_a_minute_at_most(house: Organisation) -> None:
    row, clock = signs_with(domain(house)), Clock()
    signer = DomainSigner(mail.dsn(), mail.now, clock)

    def sign() -> bytes:
        return mail.run(_once(signer, house))

    assert verifies(sign(), key()) == [True]
    with build.as_owner():
        DkimKey.objects.filter(pk=row.pk).update(retired_at=build.NOW)
    clock.seconds += 59
    assert verifies(sign(), key()) == [True]
    clock.seconds += 1
    assert sign() == CONTENT


async def _once(signer: DomainSigner, house: Organisation, content: bytes = CONTENT) -> bytes:
    try:
        return await signer.sign(work(house), OWN, content)
    finally:
        await signer._connection.close()  # a connection belongs to one event loop


def test_keys_are_forgotten_when_they_are_old(house: Organisation) -> None:
    signs_with(domain(house))
    clock = Clock()
    signer = DomainSigner(mail.dsn(), mail.now, clock)
    mail.run(_once(signer, house))
    assert len(signer._known) == 1
    clock.seconds += 60
    content = CONTENT.replace(b"anna@kunde", b"anna@anden")

    mail.run(_once(signer, house, content))
    assert [name for _, name in signer._known] == ["anden.example"]


def test_key_that_cannot_be_opened_keeps_the_mail(
    house: Organisation, caplog: pytest.LogCaptureFixture
) -> None:
    row = signs_with(domain(house))
    with build.as_owner():
        DkimSecret.objects.filter(key=row).update(sealed=b"x" * 60)
    signer = DomainSigner(mail.dsn(), mail.now)
    with pytest.raises(VaultError, match="signing key"):
        mail.run(_once(signer, house))
    assert str(row.id) in caplog.text


def test_mail_whose_key_cannot_be_opened_waits(house: Organisation) -> None:
    row = signs_with(domain(house))
    with build.as_owner():
        DkimSecret.objects.filter(key=row).update(sealed=b"x" * 60)
    message = mail.message(house.id, sender="post@kunde.example", content=CONTENT)
    assert carry(Script(), message, prepare=to_house(house)).ledger == []
    assert mail.value("SELECT count(*) FROM relay_content") == 1
    assert mail.value("SELECT count(*) FROM accounts_alert WHERE kind = 'mail-unopened'") == 1


@pytest.mark.parametrize(
    "header",
    [b"", b"Subject: x\r\n", b"From: nobody\r\n", b"From: mailer-daemon@relay.brevdue.example\r\n"],
)
def test_mail_of_no_author_that_has_keys_is_not_signed(house: Organisation, header: bytes) -> None:
    signs_with(domain(house))
    content = header + b"\r\nFrom: anna@kunde.example\r\n"
    signer = DomainSigner(mail.dsn(), mail.now)
    assert mail.run(_once(signer, house, content)) == content
