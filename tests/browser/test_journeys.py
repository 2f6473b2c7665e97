# SPDX-License-Identifier: AGPL-3.0-or-later
"""What people set out to do, from the first form to the last page, in Danish and in English."""

from __future__ import annotations

import re
from base64 import b32decode

import pytest
from django.conf import settings
from playwright.sync_api import expect

from accounts import limits
from accounts.models import Organisation, User
from tests import build
from tests.browser.visit import NEW, Opened, app_value
from tests.browser.window import Look


@pytest.fixture(autouse=True)
def _fresh_limits(db: None) -> None:
    limits._redis(settings.REDIS_URL).flushdb()


@pytest.fixture(params=["da-desktop-light", "en-phone-dark"])
def look(request: pytest.FixtureRequest) -> Look:
    return Look(*request.param.split("-"))


def test_sign_up_to_the_first_page(opened: Opened):
    nina = opened()
    nina.window.open("/sign-up/")
    nina.fill(first_name="Nina", last_name="Ny", email="nina@ny.example", name="Nyhus ApS")
    nina.press("send link")
    nina.is_at("/sign-up/sent/")
    nina.follow_last_letter()
    nina.sees("nina@ny.example")
    nina.check("sign-up-confirm")
    nina.press("open account")
    code = nina.page.locator("#code").inner_text()
    nina.check("first-sign-in")
    nina.sign_in("nina@ny.example", code)
    nina.is_at("/password/")
    nina.check("first-password")
    nina.fill(old_password=code, new_password=NEW, repeated=NEW)
    nina.press("save password")
    nina.is_at("/")
    expect(nina.page.locator("header")).to_contain_text("Nyhus ApS")


def test_second_factor_from_set_up_to_sign_in(opened: Opened, organisation: Organisation):
    anna = opened()
    anna.sign_in("anna@due.example", build.PASSWORD)
    anna.window.open("/second-factor/set-up/")
    secret = b32decode(anna.page.locator("#secret").inner_text().replace(" ", ""))
    anna.check("second-factor-set-up")
    anna.fill(token="123")
    anna.press("confirm")
    expect(anna.page.get_by_role("alert")).to_be_visible()
    anna.fill(token=app_value(secret))
    anna.press("confirm")
    codes = anna.page.locator("#codes code").all_inner_texts()
    assert len(codes) == 10
    anna.check("backup-codes")
    anna.page.get_by_role("link", name=anna.word("kept")).click()
    anna.window.open("/sign-out/")
    anna.press("sign out")
    anna.sign_in("anna@due.example", build.PASSWORD)
    anna.is_at("/second-factor/")
    anna.check("second-factor")
    build.forget_used_values()
    anna.fill(token=app_value(secret))
    anna.press("go on")
    expect(anna.page.locator("header")).to_contain_text("Duehuset ApS")
    anna.window.open("/sign-out/")
    anna.press("sign out")
    anna.sign_in("anna@due.example", build.PASSWORD)
    anna.fill(token=codes[0])
    anna.press("go on")
    expect(anna.page.locator("header")).to_contain_text("Duehuset ApS")


def test_invitation_from_mail_to_membership(opened: Opened, organisation: Organisation, anna: User):
    anna_here, ida = opened(), opened()
    anna_here.window.sign_in(anna, organisation)
    anna_here.window.open("/team/invite/")
    anna_here.fill(email="ida@inviteret.example")
    anna_here.page.locator('[name="role"][value="viewer"]').check()
    anna_here.press("invite")
    anna_here.is_at("/team/")
    ida.follow_last_letter()
    ida.sees("Duehuset ApS")
    ida.check("invitation")
    ida.fill(first_name="Ida", last_name="Inviteret")
    ida.press("yes")
    code = ida.page.locator("#code").inner_text()
    ida.sign_in("ida@inviteret.example", code)
    ida.fill(old_password=code, new_password=NEW, repeated=NEW)
    ida.press("save password")
    ida.is_at("/organisations/")
    ida.check("organisations-waiting")
    anna_here.window.open("/team/")
    anna_here.check("team-waiting")
    anna_here.press("let in")
    anna_here.sees("Ida Inviteret")
    ida.window.open("/")
    expect(ida.page.locator("header")).to_contain_text("Duehuset ApS")


def test_person_with_an_account_takes_up_an_invitation(
    opened: Opened, organisation: Organisation, anna: User, carl: User
):
    anna_here, carl_here = opened(), opened()
    anna_here.window.sign_in(anna, organisation)
    anna_here.window.open("/team/invite/")
    anna_here.fill(email=carl.email)
    anna_here.page.locator('[name="role"][value="viewer"]').check()
    anna_here.press("invite")
    anna_here.is_at("/team/")
    carl_here.follow_last_letter()
    carl_here.page.locator("main").get_by_role("link", name=carl_here.word("sign in")).click()
    carl_here.fill(email=carl.email, password=build.PASSWORD)
    carl_here.press("sign in")
    carl_here.press("yes")
    carl_here.is_at("/organisations/")
    carl_here.sees("Duehuset ApS")


def test_forgotten_password(opened: Opened, organisation: Organisation):
    anna = opened()
    anna.window.open("/password/forgotten/")
    anna.fill(email="anna@due.example")
    anna.press("send link")
    anna.is_at("/password/forgotten/sent/")
    anna.follow_last_letter()
    anna.check("password-reset-confirm")
    anna.fill(new_password=NEW, repeated=NEW)
    anna.press("save new password")
    anna.is_at("/sign-in/")
    anna.sign_in("anna@due.example", NEW)
    expect(anna.page.locator("header")).to_contain_text("Duehuset ApS")


def test_removed_member_is_out_at_once(
    opened: Opened, organisation: Organisation, anna: User, bo: User
):
    anna_here, bo_here = opened(), opened()
    anna_here.window.sign_in(anna, organisation)
    bo_here.sign_in("bo@krog.example", build.PASSWORD)
    expect(bo_here.page.locator("header")).to_contain_text("Duehuset ApS")
    anna_here.window.open("/team/")
    anna_here.page.get_by_role("link", name=re.compile(f"^{anna_here.word('remove')}.*Bo")).click()
    anna_here.check("member-remove")
    anna_here.press("remove")
    anna_here.is_at("/team/")
    bo_here.window.open("/team/")
    bo_here.is_at("/sign-in/")
