# SPDX-License-Identifier: AGPL-3.0-or-later
"""Messages on their way while something of theirs cannot be opened."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from pytest_django.fixtures import Settings

from accounts import keyfiles, vault
from accounts.keyfiles import directory_of
from accounts.models import Organisation
from tests.relay import mail
from tests.relay.stage import (
    WAITING,
    carry,
    route,
    signing_in,
)
from tests.testbed.certificates import Authority
from tests.testbed.smtp import Script

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE relay_content SET ciphertext = decode('ff', 'hex') || ciphertext",
        "UPDATE relay_route SET sealed_secret = decode('01', 'hex') || sealed_secret",
        "DELETE FROM accounts_organisationkey",
        "UPDATE accounts_organisationkey SET sealed = decode('ff', 'hex') || sealed",
    ],
)
def test_what_cannot_be_opened_waits_longer_each_time_and_is_told_to_the_operator(
    house: Organisation, authority: Authority, damage: str
) -> None:
    def prepare(port: int) -> None:
        signing_in(house)(port)
        mail.run(mail.keep(mail.message(house.id)))
        mail.execute(damage)

    far_end = carry(Script(), prepare=prepare, authority=authority)
    assert far_end.ledger == []
    ((reason, attempts, wait),) = mail.rows(
        "SELECT reason, attempts, due_at - now() FROM relay_queueddelivery"
    )
    assert (reason, attempts) == ("unopened", 1)
    assert timedelta(seconds=45) < wait < timedelta(seconds=75)
    assert mail.rows("SELECT verdict, code FROM relay_attempt") == [("retry", 0)]
    assert mail.rows("SELECT kind, subject FROM accounts_alert") == [
        ("mail-unopened", str(house.id))
    ]


def lose(keyring: Path) -> None:
    keyring.rename(keyring.with_name("elsewhere"))


def bare(keyring: Path) -> None:
    lose(keyring)
    keyring.mkdir()


def damage(keyring: Path) -> None:
    (key,) = (file for file in keyring.iterdir() if file.name != keyfiles.MARK)
    key.write_bytes(b"")


@pytest.mark.parametrize("harm", [lose, bare, damage])
def test_mail_waits_while_its_key_cannot_be_read(
    house: Organisation, keyring: Path, harm: Callable[[Path], None]
) -> None:
    """Only a keyring that is there can tell that a key was destroyed."""

    def prepare(port: int) -> None:
        route(house, port=port)
        mail.run(mail.keep(mail.message(house.id)))
        harm(keyring)

    assert carry(Script(), prepare=prepare).ledger == []
    assert mail.rows("SELECT reason, attempts FROM relay_queueddelivery") == [("unopened", 1)]
    assert mail.value("SELECT count(*) FROM relay_content") == 1
    assert mail.rows("SELECT kind FROM accounts_alert") == [("mail-unopened",)]


def test_damaged_file_among_the_installation_keys_ends_no_mail(
    house: Organisation, settings: Settings
) -> None:
    def prepare(port: int) -> None:
        route(house, port=port)
        mail.run(mail.keep(mail.message(house.id)))
        (directory_of(settings.VAULT_URL) / "00000099").write_bytes(b"")
        vault._installation_at.cache_clear()

    try:
        assert len(carry(Script(), prepare=prepare).ledger) == 1
    finally:
        (directory_of(settings.VAULT_URL) / "00000099").unlink()
        vault._installation_at.cache_clear()
    assert mail.rows("SELECT state FROM relay_delivery") == [("delivered",)]


def test_sender_is_told_of_what_could_not_be_opened_in_time(house: Organisation) -> None:
    def prepare(port: int) -> None:
        route(house, port=port)
        mail.execute("UPDATE accounts_organisation SET queue_lifetime_hours = 19")
        mail.run(mail.keep(mail.message(house.id, ago=timedelta(hours=19))))
        mail.execute("UPDATE relay_content SET ciphertext = decode('ff', 'hex') || ciphertext")

    far_end = carry(Script(), prepare=prepare, ready=WAITING)
    (notice,) = far_end.ledger
    assert (notice.sender, notice.recipients) == ("", ["Post@due.example"])
    assert b"Status: 4.4.7" in notice.content
    assert mail.rows("SELECT state FROM relay_delivery ORDER BY message_id") == [
        ("expired",), ("delivered",),
    ]  # fmt: skip
