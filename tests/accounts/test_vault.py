# SPDX-License-Identifier: AGPL-3.0-or-later
from __future__ import annotations

import stat
import time
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from django.core.management import call_command
from pytest_django.fixtures import Settings

from accounts import keyfiles, vault
from accounts.models import Organisation, OrganisationKey, OutgoingMail
from accounts.tenancy import organisation_context
from tests import build


@pytest.fixture(autouse=True)
def keys(settings: Settings, tmp_path: Path) -> Path:
    settings.VAULT_URL = f"file://{tmp_path}/vault"
    return tmp_path / "vault"


def test_sealed_value_opens_for_its_purpose_only() -> None:
    sealed = vault.seal("note", b"secret")
    assert b"secret" not in sealed
    assert vault.unseal("note", sealed) == b"secret"
    with pytest.raises(vault.VaultError):
        vault.unseal("other", sealed)


@pytest.mark.parametrize("place", [0, 1, 4, 5, 17, -1])
def test_altered_value_does_not_open(place: int) -> None:
    sealed = bytearray(vault.seal("note", b"secret"))
    sealed[place] ^= 1
    with pytest.raises(vault.VaultError):
        vault.unseal("note", bytes(sealed))


@pytest.mark.parametrize("sealed", [b"", b"\x01", b"\x01\0\0\0\x01" + bytes(11)])
def test_short_value_does_not_open(sealed: bytes) -> None:
    with pytest.raises(vault.VaultError):
        vault.unseal("note", sealed)


@pytest.mark.parametrize("written", ["", "x", "é", "AAAA", "=" * 50])
def test_what_was_never_sealed_text_does_not_open(written: str) -> None:
    with pytest.raises(vault.VaultError):
        vault.unseal_text("note", written, organisation_id=uuid4())


def test_key_files_are_private(keys: Path) -> None:
    vault.seal("note", b"secret")
    vault.keyed_hash("note", b"secret")
    assert stat.S_IMODE(keys.stat().st_mode) == 0o700
    assert {file.name: stat.S_IMODE(file.stat().st_mode) for file in keys.iterdir()} == {
        "00000001": 0o600,
        "hash": 0o600,
    }


def test_keys_are_not_made_in_production(settings: Settings) -> None:
    settings.VAULT_MAKE_KEYS = False
    with pytest.raises(vault.VaultError):
        vault.seal("note", b"secret")
    with pytest.raises(vault.VaultError):
        vault.keyed_hash("never-used-before", b"secret")
    vault.make_installation_key()
    assert vault.unseal("note", vault.seal("note", b"secret")) == b"secret"


def test_new_key_seals_and_all_open() -> None:
    old = vault.seal("note", b"secret")
    hashed = vault.keyed_hash("note", b"secret")
    assert vault.make_installation_key() == 2
    new = vault.seal("note", b"secret")
    assert (vault.sealed_with(old), vault.sealed_with(new)) == (1, 2)
    assert vault.unseal("note", old) == vault.unseal("note", new) == b"secret"
    assert vault.keyed_hash("note", b"secret") == hashed


def test_key_made_elsewhere_opens_at_once(keys: Path) -> None:
    vault.seal("note", b"fills the cache")
    other_process = vault.InstallationKeys(f"file://{keys}")
    other_process.make_next()
    vault._installation_at.cache_clear()
    sealed = vault.seal("note", b"secret")
    assert other_process.numbered(vault.sealed_with(sealed))


def test_lost_key_is_named(keys: Path) -> None:
    sealed = vault.seal("note", b"secret")
    (keys / "00000001").unlink()
    vault._installation_at.cache_clear()
    with pytest.raises(vault.VaultError, match="installation key 1"):
        vault.unseal("note", sealed)


def test_damaged_key_file_is_refused(keys: Path) -> None:
    vault.seal("note", b"secret")
    (keys / "00000001").write_bytes(b"short")
    vault._installation_at.cache_clear()
    with pytest.raises(vault.VaultError):
        vault.seal("note", b"secret")


def test_damaged_key_file_takes_no_other_along(keys: Path) -> None:
    sealed = vault.seal("note", b"secret")
    (keys / "00000002").write_bytes(b"")
    vault._installation_at.cache_clear()
    assert vault.unseal("note", sealed) == b"secret"
    assert vault.sealed_with(vault.seal("note", b"secret")) == 1
    assert vault.make_installation_key() == 3


def test_hashes_differ_by_purpose() -> None:
    assert vault.keyed_hash("a", b"x") != vault.keyed_hash("b", b"x")
    assert len(vault.keyed_hash("a", b"x")) == 32


@pytest.mark.parametrize("url", ["/plain", "http://host/x", "file://host/x", "file://"])
def test_key_directory_takes_file_urls_only(url: str) -> None:
    with pytest.raises(ValueError, match="file:///path"):
        keyfiles.directory_of(url)


# The keys of a test here are in a directory of their own, so the cast's cannot be opened.
def _give_key(organisation: Organisation) -> None:
    with build.as_owner():
        rows = OrganisationKey.objects.filter(organisation=organisation)
        rows.update(sealed=vault.new_organisation_key(organisation.id))


@pytest.mark.django_db
def test_organisation_key_needs_its_context(organisation: Organisation) -> None:
    _give_key(organisation)
    with pytest.raises(vault.VaultError):
        vault.seal("route", b"secret", organisation_id=organisation.id)
    with organisation_context(organisation.id):
        sealed = vault.seal("route", b"secret", organisation_id=organisation.id)
        assert vault.unseal("route", sealed, organisation_id=organisation.id) == b"secret"


@pytest.mark.django_db
def test_organisations_cannot_open_each_other(
    organisation: Organisation, other_organisation: Organisation
) -> None:
    _give_key(organisation)
    _give_key(other_organisation)
    with organisation_context(organisation.id):
        sealed = vault.seal("route", b"secret", organisation_id=organisation.id)
    with organisation_context(other_organisation.id), pytest.raises(vault.VaultError):
        vault.unseal("route", sealed, organisation_id=other_organisation.id)
    with pytest.raises(vault.VaultError):
        vault.unseal("route", sealed)


@pytest.mark.django_db
def test_value_is_bound_to_its_organisation_under_one_key(
    organisation: Organisation, other_organisation: Organisation
) -> None:
    """A key that somebody managed to give to two organisations opens neither's for the other."""
    shared = bytes(32)
    for owner in (organisation, other_organisation):
        sealed = vault.seal(vault.organisation_key_purpose(owner.id), shared)
        with build.as_owner():
            OrganisationKey.objects.filter(organisation=owner).update(sealed=sealed)
    with organisation_context(organisation.id):
        value = vault.seal("route", b"secret", organisation_id=organisation.id)
    with organisation_context(other_organisation.id), pytest.raises(vault.VaultError):
        vault.unseal("route", value, organisation_id=other_organisation.id)


@pytest.mark.django_db
def test_cache_of_organisation_keys_is_bounded(
    organisation: Organisation, other_organisation: Organisation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vault, "CACHED_ORGANISATIONS", 1)
    vault._organisation_keys.clear()
    for owner in (organisation, other_organisation):
        _give_key(owner)
        with organisation_context(owner.id):
            vault.seal("route", b"secret", organisation_id=owner.id)
    assert list(vault._organisation_keys) == [other_organisation.id]


@pytest.mark.usefixtures("as_duty_process")
@pytest.mark.django_db
@pytest.mark.as_role("duty")
def test_rotation_seals_everything_again(
    organisation: Organisation, capsys: pytest.CaptureFixture[str]
) -> None:
    _give_key(organisation)
    with organisation_context(organisation.id):
        sealed = vault.seal("route", b"secret", organisation_id=organisation.id)
    mail_id = uuid4()
    mail = vault.seal(f"outgoing-mail|{mail_id}", b"hello")
    OutgoingMail.objects.create(
        id=mail_id, kind="test", sealed=mail, created_at=build.NOW, due_at=build.NOW
    )
    call_command("rotate_keys", settle=0)
    vault._organisation_keys.clear()
    row = OutgoingMail.objects.get()
    assert vault.sealed_with(row.sealed) == 2
    assert vault.unseal(f"outgoing-mail|{mail_id}", row.sealed) == b"hello"
    key = OrganisationKey.objects.get()
    assert vault.sealed_with(key.sealed) == 2
    assert vault.unseal("route", sealed, organisation_id=organisation.id) == b"secret"
    assert "2 values sealed again" in capsys.readouterr().out


class TestContent:
    message_id = uuid4()

    def test_opens_with_both_keys(self, tmp_path: Path) -> None:
        keyfiles.make_keyring(tmp_path / "keyring")
        keys = vault.HourKeys(tmp_path / "keyring")
        hour = keys.current(build.NOW)
        sealed = vault.seal_content(
            b"Hello",
            organisation_key=b"k" * 32,
            hour_key=hour,
            message_id=self.message_id,
            bound_to=b"content",
        )
        again = vault.HourKeys(tmp_path / "keyring").get(hour.id)
        opened = vault.unseal_content(
            sealed,
            organisation_key=b"k" * 32,
            hour_key=again,
            message_id=self.message_id,
            bound_to=b"content",
        )
        assert opened == b"Hello"

    def test_needs_both_keys_its_message_and_what_it_is(self, tmp_path: Path) -> None:
        keyfiles.make_keyring(tmp_path / "keyring")
        keys = vault.HourKeys(tmp_path / "keyring")
        hour, key = keys.current(build.NOW), b"k" * 32
        other_hour = vault.HourKey(hour.id, b"o" * 32)
        sealed = vault.seal_content(
            b"Hello",
            organisation_key=key,
            hour_key=hour,
            message_id=self.message_id,
            bound_to=b"content",
        )
        for organisation_key, hour_key, message_id, bound_to in [
            (b"x" * 32, hour, self.message_id, b"content"),
            (key, other_hour, self.message_id, b"content"),
            (key, hour, uuid4(), b"content"),
            (key, hour, self.message_id, b"sandbox"),
        ]:
            with pytest.raises(vault.VaultError):
                vault.unseal_content(
                    sealed,
                    organisation_key=organisation_key,
                    hour_key=hour_key,
                    message_id=message_id,
                    bound_to=bound_to,
                )


class TestHourKeys:
    @pytest.fixture(autouse=True)
    def keyring(self, tmp_path: Path) -> None:
        keyfiles.make_keyring(tmp_path)

    @pytest.mark.parametrize("left", ["an empty directory", "nothing"])
    def test_keyring_without_its_mark_destroyed_nothing(self, tmp_path: Path, left: str) -> None:
        """What a mount leaves behind when it is lost."""
        key = vault.HourKeys(tmp_path).current(build.NOW)
        tmp_path.rename(tmp_path.with_name("elsewhere"))
        if left != "nothing":
            tmp_path.mkdir()
        with pytest.raises(vault.KeyringAway):
            vault.HourKeys(tmp_path).get(key.id)
        with pytest.raises(vault.KeyringAway):
            vault.HourKeys(tmp_path).current(build.NOW)
        tmp_path.with_name("elsewhere").replace(tmp_path)
        assert vault.HourKeys(tmp_path).get(key.id) == key

    @pytest.mark.parametrize("content", [b"", b"short"])
    def test_damaged_key_is_not_a_destroyed_one(self, tmp_path: Path, content: bytes) -> None:
        key = vault.HourKeys(tmp_path).current(build.NOW)
        (tmp_path / key.id).write_bytes(content)
        with pytest.raises(vault.VaultError):
            vault.HourKeys(tmp_path).get(key.id)

    def test_key_that_cannot_be_read_is_not_a_destroyed_one(self, tmp_path: Path) -> None:
        key = vault.HourKeys(tmp_path).current(build.NOW)
        (tmp_path / key.id).unlink()
        (tmp_path / key.id).mkdir()
        with pytest.raises(vault.VaultError):
            vault.HourKeys(tmp_path).get(key.id)

    def test_one_per_process_and_hour(self, tmp_path: Path) -> None:
        keys = vault.HourKeys(tmp_path)
        first = keys.current(build.NOW)
        assert keys.current(build.NOW + timedelta(minutes=59)) == first
        assert keys.current(build.NOW + timedelta(hours=1)) != first
        assert vault.HourKeys(tmp_path).current(build.NOW) != first
        assert len(keys.ids()) == 3
        assert first.id.startswith("20261120T12-")

    def test_secret_stays_out_of_representations(self, tmp_path: Path) -> None:
        key = vault.HourKeys(tmp_path).current(build.NOW)
        assert repr(key) == f"HourKey(id='{key.id}')"

    def test_destroyed_key_is_gone(self, tmp_path: Path) -> None:
        keys = vault.HourKeys(tmp_path)
        key = keys.current(build.NOW)
        assert keys.get(key.id) == key
        keys.destroy(key.id)
        keys.destroy(key.id)
        assert keys.ids() == []
        with pytest.raises(vault.KeyGone):
            keys.get(key.id)
        assert keys.current(build.NOW).id != key.id

    def test_closed_key_is_replaced(self, tmp_path: Path) -> None:
        keys = vault.HourKeys(tmp_path)
        key = keys.current(build.NOW)
        assert keys.current(build.NOW, closed=key.id).id != key.id

    def test_cached_key_is_forgotten(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        keys = vault.HourKeys(tmp_path)
        key = keys.current(build.NOW)
        keys.get(key.id)
        (tmp_path / key.id).unlink()
        assert keys.get(key.id) == key
        clock = time.monotonic() + keyfiles.CACHE_SECONDS
        monkeypatch.setattr("accounts.keyfiles.time.monotonic", lambda: clock)
        with pytest.raises(vault.KeyGone):
            keys.get(key.id)

    @pytest.mark.parametrize("name", ["", "../vault/00000001", ".hidden"])
    def test_ids_name_no_other_file(self, tmp_path: Path, name: str) -> None:
        with pytest.raises(vault.KeyGone):
            vault.HourKeys(tmp_path).get(name)
