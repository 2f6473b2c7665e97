# SPDX-License-Identifier: AGPL-3.0-or-later
from __future__ import annotations

from base64 import b32decode
from collections.abc import Iterator
from datetime import UTC, datetime
from urllib.parse import parse_qs, urlsplit
from xml.etree import ElementTree

import django_otp
import pytest
from django.http import HttpRequest
from django_otp.oath import hotp

from accounts import limits, signin, stepup, twofactor
from accounts.models import (
    AuditEvent,
    BackupCode,
    BackupCodeDevice,
    Organisation,
    OutgoingMail,
    TOTPDevice,
    User,
)
from accounts.models.devices import matching_step
from accounts.refusals import StepUpNeeded
from accounts.tenancy import person_context
from tests import build
from tests.accounts.conftest import Browser, Clock

pytestmark = pytest.mark.django_db


def value(secret: bytes, clock: Clock, steps: int = 0) -> str:
    """The app's six digits, `steps` half minutes from now."""
    return f"{hotp(secret, int(clock.now.timestamp()) // 30 + steps):06d}"


@pytest.fixture(autouse=True)
def _as_anna(anna: User) -> Iterator[None]:
    with person_context(anna.id):
        yield


def _enrol(request: HttpRequest, clock: Clock) -> tuple[bytes, list[str]]:
    shown = twofactor.enrolment(request)
    secret = b32decode(shown.secret.replace(" ", ""))
    return secret, twofactor.confirm(request, value(secret, clock))


def _kinds() -> list[str]:
    with build.as_owner():
        return list(OutgoingMail.objects.order_by("created_at").values_list("kind", flat=True))


class TestEnrolment:
    def test_shows_one_key_until_it_is_confirmed(self, anna: User, browser: Browser) -> None:
        request = browser(anna)
        shown = twofactor.enrolment(request)
        assert twofactor.enrolment(request) == shown
        parameters = parse_qs(urlsplit(shown.uri).query)
        assert parameters["secret"] == [shown.secret.replace(" ", "")]
        assert len(b32decode(parameters["secret"][0])) == 20
        assert urlsplit(shown.uri).path == "/Brevdue%3Aanna%40due.example"
        assert ElementTree.fromstring(shown.svg).tag.endswith("svg")
        assert "style" not in shown.svg
        assert not TOTPDevice.objects.exists()

    def test_key_is_sealed_in_session_and_row(
        self, anna: User, browser: Browser, clock: Clock
    ) -> None:
        request = browser(anna)
        shown = twofactor.enrolment(request)
        secret = b32decode(shown.secret.replace(" ", ""))
        assert secret not in str(dict(request.session.items())).encode()
        twofactor.confirm(request, value(secret, clock))
        assert secret not in bytes(TOTPDevice.objects.get().sealed_key)
        assert twofactor.PENDING_KEY not in request.session

    def test_confirming_verifies_the_session(
        self, anna: User, browser: Browser, clock: Clock
    ) -> None:
        request = browser(anna)
        before = request.session.session_key
        _, codes = _enrol(request, clock)
        assert len(set(codes)) == 10
        assert request.session.session_key != before
        device = TOTPDevice.objects.get()
        assert request.session[django_otp.DEVICE_ID_SESSION_KEY] == device.persistent_id
        assert stepup.is_fresh(request)
        assert twofactor.has_device(anna)
        assert twofactor.backup_codes_left(anna) == 10
        assert _kinds() == ["second_factor_changed"]
        with build.as_owner():
            assert AuditEvent.objects.get().action == "second-factor.added"

    def test_wrong_value_changes_nothing(self, anna: User, browser: Browser, clock: Clock) -> None:
        request = browser(anna)
        with pytest.raises(twofactor.WrongToken):
            twofactor.confirm(request, "000000")
        twofactor.enrolment(request)
        with pytest.raises(twofactor.WrongToken):
            twofactor.confirm(request, "abcdef")
        assert not TOTPDevice.objects.exists()

    def test_key_of_another_session_person_does_not_open(
        self, anna: User, dorte: User, browser: Browser
    ) -> None:
        request = browser(anna)
        shown = twofactor.enrolment(request)
        request.user = dorte
        assert twofactor.enrolment(request).secret != shown.secret

    def test_replacing_an_app_needs_step_up(
        self, anna: User, browser: Browser, clock: Clock
    ) -> None:
        old = build.second_factor(anna)
        request = browser(anna)
        with pytest.raises(StepUpNeeded):
            twofactor.enrolment(request)
        with pytest.raises(StepUpNeeded):
            twofactor.confirm(request, "000000")
        twofactor.step_up(request, token=value(old, clock))
        new, _ = _enrol(request, clock)
        clock.forward(minutes=2)
        with pytest.raises(twofactor.WrongToken):
            twofactor.verify(request, value(old, clock))
        twofactor.verify(request, value(new, clock))
        assert TOTPDevice.objects.count() == 1


class TestVerification:
    @pytest.fixture
    def secret(self, anna: User) -> bytes:
        return build.second_factor(anna)

    @pytest.mark.parametrize(("steps", "good"), [(-2, 0), (-1, 1), (0, 1), (1, 1), (2, 0)])
    def test_one_step_to_either_side(
        self, anna: User, secret: bytes, browser: Browser, clock: Clock, steps: int, good: int
    ) -> None:
        request = browser(anna)
        if good:
            twofactor.verify(request, value(secret, clock, steps))
        else:
            with pytest.raises(twofactor.WrongToken):
                twofactor.verify(request, value(secret, clock, steps))

    def test_no_value_is_good_twice(
        self, anna: User, secret: bytes, browser: Browser, clock: Clock
    ) -> None:
        token = value(secret, clock)
        twofactor.verify(browser(anna), token)
        with pytest.raises(twofactor.WrongToken):
            twofactor.verify(browser(anna), token)
        with pytest.raises(twofactor.WrongToken):
            twofactor.verify(browser(anna), value(secret, clock, -1))
        twofactor.verify(browser(anna), value(secret, clock, 1))

    def test_session_is_verified_and_changes(
        self, anna: User, secret: bytes, browser: Browser, clock: Clock
    ) -> None:
        request = browser(anna)
        before = request.session.session_key
        twofactor.verify(request, f" {value(secret, clock)[:3]} {value(secret, clock)[3:]} ")
        assert request.session.session_key != before
        assert django_otp.DEVICE_ID_SESSION_KEY in request.session
        with build.as_owner():
            assert AuditEvent.objects.get().action == "second-factor.verified"

    @pytest.mark.parametrize("token", ["", "12345", "1234567", "١٢٣٤٥٦", "-12345", "1e5000"])
    def test_junk_is_wrong(
        self, anna: User, secret: bytes, browser: Browser, clock: Clock, token: str
    ) -> None:
        with pytest.raises(twofactor.WrongToken):
            twofactor.verify(browser(anna), token)

    def test_sixth_try_in_five_minutes_is_too_many(
        self, anna: User, secret: bytes, browser: Browser, clock: Clock
    ) -> None:
        for _ in range(5):
            with pytest.raises(twofactor.WrongToken):
                twofactor.verify(browser(anna), "junk")
        with pytest.raises(limits.TooMany):
            twofactor.verify(browser(anna), value(secret, clock))

    def test_backup_code_is_good_once(self, anna: User, browser: Browser, clock: Clock) -> None:
        request = browser(anna)
        _, codes = _enrol(request, clock)
        twofactor.verify(browser(anna), codes[0].upper().replace("-", " "))
        assert twofactor.backup_codes_left(anna) == 9
        with pytest.raises(twofactor.WrongToken):
            twofactor.verify(browser(anna), codes[0])
        twofactor.verify(browser(anna), codes[1])

    def test_backup_codes_are_kept_as_hashes(
        self, anna: User, browser: Browser, clock: Clock
    ) -> None:
        _, codes = _enrol(browser(anna), clock)
        kept = b"".join(bytes(row.code_hash) for row in BackupCode.objects.all())
        assert len(kept) == 320
        assert all(code.encode() not in kept for code in codes)

    def test_new_codes_void_the_old(self, anna: User, browser: Browser, clock: Clock) -> None:
        request = browser(anna)
        _, old = _enrol(request, clock)
        new = twofactor.new_backup_codes(request)
        with pytest.raises(twofactor.WrongToken):
            twofactor.verify(request, old[0])
        twofactor.verify(request, new[0])
        clock.forward(minutes=10)
        with pytest.raises(StepUpNeeded):
            twofactor.new_backup_codes(request)

    def test_framework_finds_the_devices(self, anna: User, secret: bytes, clock: Clock) -> None:
        (device,) = django_otp.devices_for_user(anna)
        assert django_otp.verify_token(anna, device.persistent_id, value(secret, clock)) == device


class TestRemoval:
    def test_needs_step_up(self, anna: User, browser: Browser, clock: Clock) -> None:
        request = browser(anna)
        _enrol(request, clock)
        clock.forward(minutes=10)
        with pytest.raises(StepUpNeeded):
            twofactor.remove(request)
        clock.forward(minutes=-1)
        twofactor.remove(request)
        assert not TOTPDevice.objects.exists()
        assert not BackupCodeDevice.objects.exists()
        assert not BackupCode.objects.exists()
        assert django_otp.DEVICE_ID_SESSION_KEY not in request.session

    def test_is_refused_where_it_is_required(
        self, anna: User, organisation: Organisation, browser: Browser, clock: Clock
    ) -> None:
        request = browser(anna)
        _enrol(request, clock)
        assert not twofactor.is_required(anna)
        with build.as_owner():
            Organisation.objects.update(second_factor_required=True)
        with pytest.raises(twofactor.SecondFactorRequired):
            twofactor.remove(request)

    def test_staff_always_need_one(self, dorte: User) -> None:
        assert twofactor.is_required(dorte)


class TestStepUp:
    def test_password_where_there_is_no_second_factor(
        self, anna: User, browser: Browser, clock: Clock
    ) -> None:
        request = browser(anna)
        with pytest.raises(signin.SignInRefused):
            twofactor.step_up(request, password="forkert")
        assert not stepup.is_fresh(request)
        twofactor.step_up(request, password=build.PASSWORD)
        clock.forward(minutes=9, seconds=59)
        assert stepup.is_fresh(request)
        clock.forward(seconds=1)
        assert not stepup.is_fresh(request)

    def test_password_is_not_enough_with_a_second_factor(
        self, anna: User, browser: Browser, clock: Clock
    ) -> None:
        secret = build.second_factor(anna)
        request = browser(anna)
        with pytest.raises(twofactor.WrongToken):
            twofactor.step_up(request, password=build.PASSWORD)
        twofactor.step_up(request, token=value(secret, clock))
        assert stepup.is_fresh(request)

    def test_sign_in_counts_only_without_second_factor(
        self, anna: User, dorte: User, browser: Browser, clock: Clock
    ) -> None:
        request = browser()
        signin.sign_in(request, anna)
        assert stepup.is_fresh(request)
        build.second_factor(dorte)
        request = browser()
        signin.sign_in(request, dorte)
        assert not stepup.is_fresh(request)


def test_value_of_the_standard(monkeypatch: pytest.MonkeyPatch, clock: Clock) -> None:
    """RFC 6238, appendix B, SHA-1, the last six digits."""
    clock.now = datetime.fromtimestamp(1111111109, tz=UTC)
    assert matching_step(b"12345678901234567890", "081804") == 1111111109 // 30
