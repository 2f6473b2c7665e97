# SPDX-License-Identifier: AGPL-3.0-or-later
"""Packages from order to destruction: one person fetches them for a week, then they are gone."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any
from zlib import crc32

import pytest
from django.conf import settings
from django.db import connection

from accounts import turns
from accounts.models import Alert, User
from config.celery import app
from gdpr import packages, packing, requests, retention
from gdpr.models import Package, RequestedRight, Right, Step
from gdpr.models.packages import PACKAGE_DAYS
from gdpr.sealedfiles import FileDamaged
from tests import build
from tests.accounts.conftest import Clock

pytestmark = [pytest.mark.django_db, pytest.mark.as_role("duty")]

State = RequestedRight.State
SECOND = timedelta(seconds=1)
END = build.NOW + timedelta(days=PACKAGE_DAYS) - packages.DESTROYED_WITHIN


@pytest.fixture
def package(anna: User, clock: Clock) -> Package:
    """An order; portability, because it needs no typesetting."""
    asked = build.request_of(anna, Right.PORTABILITY)
    asked.rights.update(state=State.ACT)
    return build.package_of(asked)


def fresh(package: Package) -> Package:
    return Package.objects.get(pk=package.pk)


def files() -> list[str]:
    directory = Path(settings.PACKAGES)
    return sorted(file.name for file in directory.iterdir()) if directory.is_dir() else []


def composing(monkeypatch: pytest.MonkeyPatch, act: Callable[..., None]) -> None:
    """Let something else happen while a package is put together."""
    monkeypatch.setitem(packing.COMPOSERS, Right.PORTABILITY, act)


def test_ready_package_is_fetched_until_its_last_second(package: Package, clock: Clock) -> None:
    assert packing.pack_due() == 1
    ready = fresh(package)
    end = END
    assert (ready.state, ready.expires_at) == ("ready", end)
    assert ready.parts_done == ready.parts_total > 5
    assert b"".join(packages.read(ready, end - SECOND)).startswith(b"PK")
    with pytest.raises(packages.PackageGone):
        packages.read(ready, end)


def test_file_holds_nothing_in_clear(package: Package, clock: Clock, anna: User) -> None:
    packing.pack_due()
    (file,) = Path(settings.PACKAGES).iterdir()
    content = file.read_bytes()
    assert not content.startswith(b"PK")
    assert anna.email.encode() not in content


def test_expired_package_goes_with_file_and_key(package: Package, clock: Clock) -> None:
    packing.pack_due()
    end = END
    assert packages.destroy_due(end - SECOND) == 0
    assert files() == [package.id.hex]
    assert packages.destroy_due(end) == 1
    assert files() == []
    assert not Package.objects.exists()
    assert Step.objects.filter(kind=Step.Kind.DESTROYED).count() == 1


def test_no_package_outlives_its_period_by_waiting_for_the_task(
    package: Package, clock: Clock
) -> None:
    """It ends just after a round; the next one may even be left out."""
    packing.pack_due()
    clock.now = END - SECOND
    assert packages.destroy_due(clock.now) == 0
    clock.forward(seconds=2 * app.conf.beat_schedule["packages-end"]["schedule"])
    assert "gdpr.Package" not in retention.overdue(clock.now)
    assert packages.destroy_due(clock.now) == 1


def test_files_that_no_row_knows_go(package: Package, clock: Clock, anna: User) -> None:
    packing.pack_due()
    draft = Path(settings.PACKAGES) / f".{'0' * 32}.0badc0de"
    draft.write_bytes(b"left by a crash")
    Package.objects.all().delete()
    assert packages.destroy_due(clock.now) == 2
    assert files() == []


def test_person_may_end_it_at_once(package: Package, clock: Clock) -> None:
    packing.pack_due()
    packages.end_now(fresh(package), clock.now)
    with pytest.raises(packages.PackageGone):
        packages.read(fresh(package), clock.now)
    assert packages.destroy_due(clock.now) == 1


def test_another_packages_file_does_not_open(package: Package, clock: Clock, carl: User) -> None:
    asked = build.request_of(carl, Right.PORTABILITY)
    asked.rights.update(state=State.ACT)
    other = build.package_of(asked)
    assert packing.pack_due() == 2
    packages.path_of(other.id).replace(packages.path_of(package.id))
    with pytest.raises(FileDamaged):
        list(packages.read(fresh(package), clock.now))


def test_two_workers_do_not_take_the_same(package: Package, clock: Clock) -> None:
    ends_at = clock.now + packages.LEASE
    assert packages.lease(package.id, clock.now, alone=False) is not None
    assert packages.lease(package.id, ends_at - SECOND, alone=False) is None
    again = packages.lease(package.id, ends_at, alone=False)
    assert again is not None
    assert again.attempts == 2


def test_package_of_a_worker_that_died_is_made_at_once(package: Package, clock: Clock) -> None:
    """Its lease has not ended; its turn ended with its connection."""
    assert packages.lease(package.id, clock.now, alone=True) is not None
    with _elsewhere(package):
        assert packing.pack_due() == 0
    assert packing.pack_due() == 1


@contextmanager
def _elsewhere(package: Package) -> Iterator[None]:
    """Have another worker, with a connection of its own, be at the package."""
    other = connection.copy()
    lock = [turns.LOCK_CLASS, crc32(f"package {package.id}".encode()) & 0x7FFFFFFF]
    with other.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(%s, %s)", lock)
        assert cursor.fetchone() == (True,)
    yield
    # As when the worker is killed: nothing is given back but the connection.
    backend = other.connection.info.backend_pid
    other.close()
    _wait_for_the_end_of(backend)


def _wait_for_the_end_of(backend: int) -> None:
    deadline = time.monotonic() + 20
    with connection.cursor() as cursor:
        while time.monotonic() < deadline:
            # What a session holds is let go before it disappears from here.
            cursor.execute("SELECT FROM pg_locks WHERE pid = %s", [backend])
            if cursor.fetchone() is None:
                return
            time.sleep(0.01)
    raise AssertionError("the other session does not end")


def test_what_was_put_back_waits_though_nobody_is_at_it(
    package: Package, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = packages.lease(package.id, clock.now, alone=True)
    assert taken is not None
    packages.put_back(taken, clock.now)
    assert packages.to_do(clock.now + packages.PUT_BACK - SECOND) == []
    assert packages.lease(package.id, clock.now, alone=True) is None
    assert packages.to_do(clock.now + packages.PUT_BACK) == [package.id]


def test_fault_is_tried_again_and_then_told(
    package: Package, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise OSError("anna@due.example")

    composing(monkeypatch, fail)
    for expected in ("waiting", "waiting", "failed"):
        assert packing.pack_due() == 0
        assert fresh(package).state == expected
        assert files() == []
        clock.forward(minutes=5)
    assert Alert.objects.get().subject == str(package.id)
    monkeypatch.undo()
    packages.try_again(package)
    assert packing.pack_due() == 1


@pytest.mark.parametrize("fault", [TypeError, RuntimeError, MemoryError])
def test_fault_of_any_kind_does_not_keep_the_next_one_waiting(
    package: Package, clock: Clock, carl: User, fault: type[Exception], monkeypatch: Any
) -> None:
    compose = packing.COMPOSERS[Right.PORTABILITY]

    def fail_for_the_first(made: Package, *more: Any) -> None:
        if made.pk == package.pk:
            raise fault("anna@due.example")
        compose(made, *more)

    composing(monkeypatch, fail_for_the_first)
    asked = build.request_of(carl, Right.PORTABILITY)
    asked.rights.update(state=State.ACT)
    other = build.package_of(asked)
    assert packing.pack_due() == 1
    assert (fresh(package).state, fresh(other).state) == ("waiting", "ready")


def test_package_that_kills_its_workers_is_given_up(package: Package, clock: Clock) -> None:
    for _ in range(packages.TRIES):
        assert packages.lease(package.id, clock.now, alone=False) is not None
        clock.now += packages.LEASE
    assert packages.to_do(clock.now) == []
    assert packing.pack_due() == 0
    assert (fresh(package).state, fresh(package).attempts) == ("failed", packages.TRIES)
    assert Alert.objects.get(resolved_at=None).subject == str(package.id)
    packages.try_again(package)
    assert packing.pack_due() == 1
    packing.pack_due()
    assert not Alert.objects.filter(resolved_at=None).exists()


class TestLateWorker:
    """The first worker stands still for longer than its lease; a second one takes the package."""

    @pytest.fixture
    def second(self, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> list[int]:
        compose, done = packing.COMPOSERS[Right.PORTABILITY], []

        def stall(made: Package, *more: Any) -> None:
            compose(made, *more)
            clock.now += packages.LEASE
            composing(monkeypatch, compose)
            done.append(packing.pack_due())

        composing(monkeypatch, stall)
        return done

    def test_what_the_second_has_made_stays(
        self, package: Package, clock: Clock, second: list[int]
    ) -> None:
        assert packing.pack_due() == 0
        assert second == [1]
        ready = fresh(package)
        content = b"".join(packages.read(ready, clock.now))
        assert (ready.state, ready.attempts) == ("ready", 2)
        assert (len(content), sha256(content).hexdigest()) == (ready.size, ready.sha256)
        assert files() == [package.id.hex]
        assert [step.kind for step in ready.right.steps.all()] == ["received", "prepared", "done"]

    def test_its_fault_does_not_put_back_what_is_ready(
        self, package: Package, clock: Clock, second: list[int], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        stall = packing.COMPOSERS[Right.PORTABILITY]

        def fail_late(*everything: Any) -> None:
            stall(*everything)
            raise OSError

        composing(monkeypatch, fail_late)
        assert packing.pack_due() == 0
        assert fresh(package).state == "ready"

    def test_it_shows_no_progress(self, package: Package, clock: Clock) -> None:
        first = packages.lease(package.id, clock.now, alone=False)
        clock.now += packages.LEASE
        assert first is not None
        assert packages.lease(package.id, clock.now, alone=False) is not None
        with pytest.raises(packages.PackageGone):
            packages.tell_progress(first, 1, 2, clock.now)


def test_each_lease_counts_from_its_own_beginning(
    package: Package, clock: Clock, carl: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = build.request_of(carl, Right.PORTABILITY)
    asked.rights.update(state=State.ACT)
    build.package_of(asked)
    left = []

    def slow(made: Package, *_: Any) -> None:
        assert made.leased_until is not None
        left.append(made.leased_until - clock.now)
        clock.forward(minutes=2)

    composing(monkeypatch, slow)
    assert packing.pack_due() == 2
    assert left == [packages.LEASE] * 2


def test_withdrawn_while_it_is_put_together(
    package: Package, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def withdraw(made: Package, out: Any, told: Callable[[int, int], None], now: Any) -> None:
        requests.move(made.right, State.WITHDRAWN, requests.SERVICE, now)
        packages.cancel(made.right)
        told(1, 2)

    composing(monkeypatch, withdraw)
    assert packing.pack_due() == 0
    assert files() == []
    assert RequestedRight.objects.get().state == State.WITHDRAWN
    assert not Alert.objects.exists()
