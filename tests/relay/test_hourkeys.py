# SPDX-License-Identifier: AGPL-3.0-or-later
"""The end of hour keys, stopped at every step: nothing may be sealed under a destroyed key."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from accounts.models.organisations import QUEUE_HOURS_MAX
from accounts.vault import HourKeys, KeyGone
from config.celery import app
from relay import hourkeys
from relay.models import Content, HourKey
from relay.queue import keyring_directory
from tests.relay import mail

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.as_role("relay")]

LATER = timedelta(hours=1, minutes=1)
OPEN_ALERTS = "SELECT kind FROM accounts_alert WHERE resolved_at IS NULL"


class Crash(Exception):
    pass


@pytest.fixture
def keys() -> HourKeys:
    """A keyring with one key of this hour, under which one message is sealed."""
    keyring = hourkeys.open_keyring()
    for identifier in keyring.ids():
        keyring.destroy(identifier)
    mail.run(mail.keep(mail.message(mail.organisation().id)))
    return keyring


def forget_mail() -> None:
    mail.execute("DELETE FROM relay_queueddelivery")
    mail.execute("DELETE FROM relay_content")


def test_key_stays_while_something_is_sealed_under_it(keys: HourKeys) -> None:
    assert hourkeys.close_due(keys, mail.now() + LATER) == []
    assert len(keys.ids()) == 1
    assert mail.value("SELECT closed_at FROM relay_hourkey") is None


def test_key_stays_during_its_hour(keys: HourKeys) -> None:
    forget_mail()
    assert hourkeys.close_due(keys, mail.now()) == []
    assert len(keys.ids()) == 1


def test_key_is_closed_and_destroyed_after_its_hour(keys: HourKeys) -> None:
    (identifier,) = keys.ids()
    forget_mail()
    assert hourkeys.close_due(keys, mail.now() + LATER) == [identifier]
    assert mail.value("SELECT closed_at IS NOT NULL FROM relay_hourkey") is True
    with pytest.raises(KeyGone):
        HourKeys(keyring_directory()).get(identifier)


def test_key_is_not_closed_under_a_store_in_progress(keys: HourKeys) -> None:
    """The look at the content comes after the lock, so it sees what a store just committed."""
    seen: list[bool] = []
    original = hourkeys._seals_anything

    def look(identifier: str) -> bool:
        # Nobody else can hold the row shared now, so no store is between sealing and commit.
        with pytest.raises(Exception, match="lock"):
            mail.run(_try_share())
        seen.append(True)
        return original(identifier)

    patch = pytest.MonkeyPatch()
    patch.setattr(hourkeys, "_seals_anything", look)
    hourkeys.close_due(keys, mail.now() + LATER)
    patch.undo()
    assert seen


async def _try_share() -> None:
    async with await mail.session() as other:
        await other.execute("SELECT FROM relay_hourkey FOR SHARE NOWAIT")


def stop_at(step: str, patch: pytest.MonkeyPatch) -> None:
    def crash(*_: Any, **__: Any) -> None:
        raise Crash

    if step == "before the look":
        patch.setattr(hourkeys, "_seals_anything", crash)
    elif step == "before the commit":
        patch.setattr(HourKey, "save", crash)
    elif step == "before the unlink":
        patch.setattr(HourKeys, "destroy", crash)
    elif step == "after the unlink":
        destroy: Callable[..., None] = HourKeys.destroy

        def destroy_and_crash(self: HourKeys, identifier: str) -> None:
            destroy(self, identifier)
            raise Crash

        patch.setattr(HourKeys, "destroy", destroy_and_crash)


@pytest.mark.parametrize(
    "step", ["before the look", "before the commit", "before the unlink", "after the unlink"]
)
def test_crash_at_any_step_is_finished_by_the_next_run(keys: HourKeys, step: str) -> None:
    (identifier,) = keys.ids()
    forget_mail()
    with pytest.MonkeyPatch.context() as patch:
        stop_at(step, patch)
        with pytest.raises(Crash):
            hourkeys.close_due(keys, mail.now() + LATER)
    gone = identifier not in keys.ids()
    closed = mail.value("SELECT closed_at IS NOT NULL FROM relay_hourkey")
    # Whenever the key is gone its row says so.
    assert closed or not gone
    mail.run(mail.keep(mail.message(mail.organisation("Andet Hus A/S").id)))
    assert not Content.objects.filter(
        hour_key_id__in=HourKey.objects.exclude(closed_at=None).values("id")
    ).exists()
    forget_mail()
    hourkeys.close_due(keys, mail.now() + LATER)
    assert keys.ids() == []
    assert mail.value("SELECT count(*) FROM relay_hourkey WHERE closed_at IS NULL") == 0


def test_key_without_a_row_goes_after_two_hours(keys: HourKeys) -> None:
    forget_mail()
    mail.execute("DELETE FROM relay_hourkey")
    assert hourkeys.close_due(keys, mail.now() + timedelta(hours=1)) == []
    assert len(hourkeys.close_due(keys, mail.now() + timedelta(hours=3, minutes=1))) == 1


def test_foreign_file_is_left_alone(keys: HourKeys) -> None:
    (keyring_directory() / "note").write_text("x")
    hourkeys.close_due(keys, mail.now() + timedelta(days=9))
    assert "note" in keys.ids()
    (keyring_directory() / "note").unlink()


def key_row(identifier: str, closed_at: datetime | None) -> None:
    mail.execute("INSERT INTO relay_hourkey VALUES (%s, %s)", identifier, closed_at)


@pytest.mark.as_role("duty")
@pytest.mark.parametrize(("seconds", "left"), [(-1, 1), (0, 0)])
def test_closed_row_goes_when_its_period_is_over(seconds: int, left: int) -> None:
    closed_at = mail.now()
    key_row("20261020T10-a", closed_at)
    now = closed_at + hourkeys.KEPT + timedelta(seconds=seconds)
    assert hourkeys.forget_closed(now) == 1 - left
    assert mail.value("SELECT count(*) FROM relay_hourkey") == left


@pytest.mark.as_role("duty")
def test_open_row_stays_however_old() -> None:
    key_row("20201020T10-a", None)
    assert hourkeys.forget_closed(mail.now() + 2 * hourkeys.KEPT) == 0


@pytest.mark.as_role("duty")
def test_oldest_rows_go_first_and_so_many_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hourkeys, "FORGET_MOST", 2)
    for days in (40, 42, 41):
        key_row(f"{days}", mail.now() - timedelta(days=days))
    assert hourkeys.forget_closed(mail.now()) == 2
    assert mail.rows("SELECT id FROM relay_hourkey") == [("40",)]
    assert hourkeys.forget_closed(mail.now()) == 1


def test_key_whose_row_is_forgotten_is_destroyed(keys: HourKeys) -> None:
    """A disk that was away while the row went: the key must not come back to life."""
    (identifier,) = keys.ids()
    forget_mail()
    mail.execute("DELETE FROM relay_hourkey")
    assert hourkeys.close_due(keys, mail.now() + LATER + hourkeys.ORPHAN_AFTER) == [identifier]


def test_hours_stated_cover_the_longest_life_of_a_key() -> None:
    """The first mail of an hour shares its key with the last, which may wait for the longest."""
    entry = app.conf.beat_schedule["hour-keys"]
    every = timedelta(seconds=entry["schedule"])
    waited = timedelta(seconds=entry["options"]["expires"])
    assert (every, waited) == (hourkeys.CLOSED_EVERY, hourkeys.CLOSED_EVERY)
    longest = timedelta(hours=QUEUE_HOURS_MAX + 1) + every + waited
    stated = timedelta(hours=hourkeys.longest_hours())
    assert timedelta() <= stated - longest < timedelta(hours=1)


def test_key_is_overdue_after_the_hours_stated() -> None:
    began = datetime(2026, 11, 20, 10, tzinfo=UTC)
    HourKey.objects.create(id=f"{began:%Y%m%dT%H}-0")
    stated = timedelta(hours=hourkeys.longest_hours())
    early = hourkeys.count_overdue(began + stated - timedelta(seconds=1))
    late = hourkeys.count_overdue(began + stated)
    HourKey.objects.update(closed_at=began)
    assert (early, late, hourkeys.count_overdue(began + stated)) == (0, 1, 0)


def test_key_that_cannot_be_removed_is_told_and_holds_up_no_other(
    keys: HourKeys, monkeypatch: pytest.MonkeyPatch
) -> None:
    (stays,) = keys.ids()
    goes = keys.current(mail.now(), closed=stays).id
    mail.execute("INSERT INTO relay_hourkey (id) VALUES (%s)", goes)
    forget_mail()
    destroy = HourKeys.destroy

    def refuse(ring: HourKeys, identifier: str) -> None:
        if identifier == stays:
            raise PermissionError
        destroy(ring, identifier)

    with monkeypatch.context() as patch:
        patch.setattr(HourKeys, "destroy", refuse)
        assert hourkeys.close_due(keys, mail.now() + LATER) == [goes]
    assert mail.rows(OPEN_ALERTS) == [(hourkeys.LEFT,)]
    assert hourkeys.close_due(keys, mail.now() + LATER) == [stays]
    assert mail.rows(OPEN_ALERTS) == []
