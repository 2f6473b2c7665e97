# SPDX-License-Identifier: AGPL-3.0-or-later
"""A customer from sign-up to the certificate of erasure: all processes, one clock, one browser."""

from __future__ import annotations

import io
import json
import re
import smtplib
import ssl
import zipfile
from base64 import b32decode
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from accounts import clock
from accounts.models import User
from config.stack.children import wait_until
from gdpr import seals
from gdpr.rights import erasure
from tests import build, poppler
from tests.accounts.test_signup import letters
from tests.browser.moving import forward
from tests.browser.service import Service, running_service
from tests.browser.visit import NEW, Opened, Visit, app_value
from tests.browser.window import Look
from tests.relay import mail

PATIENCE = 90  # seconds for what happens behind the scenes
STALE = timedelta(minutes=11)  # a step-up counts for ten
RECIPIENT = "erik@modtager.example"
# As (Danish, English).
VALID = ("netop det dokument, vi har", "the very document on file")
CHANGED = ("Noget er ændret", "Something was changed")
IN_FORCE = ("er i kraft", "is in force")
PROVEN = ("Posten er der", "The record is there")
CONNECTED = ("Det virker", "It works")
ARRIVED = ("leveret", "delivered")
DESTROYED = ("Destrueret", "Destroyed")
CANCEL = ("Indtil da kan du fortryde", "Until then you can cancel")
REFUSED = ("forkert", "is wrong")
SEALED = ("netop den sletteattest, vi opbevarer", "the very certificate on file")


@dataclass
class Customer:
    """Who goes the whole way; what they keep in their password manager and on their phone."""

    visit: Visit
    first_name: str
    last_name: str
    email: str
    company: str
    domain: str
    secret: bytes = b""

    def says(self, words: tuple[str, str]) -> str:
        return self.visit.says(words)


@pytest.fixture(params=["da-phone-light", "en-desktop-dark"])
def look(request: pytest.FixtureRequest) -> Look:
    return Look(*request.param.split("-"))


@pytest.fixture
def service(transactional_db: None, tmp_path: Path) -> Iterator[Service]:
    with running_service(tmp_path) as running:
        yield running


@pytest.fixture
def site(service: Service) -> str:
    return service.site


@pytest.mark.timeout(600)
def test_from_sign_up_to_erasure(
    opened: Opened, service: Service, anna: User, carl: User, look: Look, tmp_path: Path
) -> None:
    """The others in the database must not be in any answer, and must be there afterwards."""
    thea = Customer(
        opened(), "Thea", "Lund", "thea@lundpapir.example", "Lund Papir ApS", "lundpapir.example"
    )
    thea.visit.page.set_default_timeout(PATIENCE * 1000)
    before = _others()
    sign_up(thea)
    set_up_second_factor(thea)
    sign_agreement(thea, service, tmp_path)
    get_ready_to_send(thea, service)
    send(thea, service)
    forward(STALE)
    get_own_data(thea)
    if look.language == "da":
        close_organisation(thea)
    else:
        hand_over(thea, opened())
    ask_for_erasure(thea, service)
    forward(erasure.COOL_DOWN)
    be_erased(thea, service, tmp_path)
    be_unknown(thea)
    assert _others() == before
    assert not re.search(r"@\w+\.example", service.said())


def _others() -> list[tuple[Any, ...]]:
    return mail.rows("SELECT * FROM accounts_user WHERE last_name <> 'Lund' ORDER BY id")


def sign_up(one: Customer) -> None:
    here = one.visit
    here.window.open("/sign-up/")
    here.fill(first_name=one.first_name, last_name=one.last_name)
    here.fill(email=one.email, name=one.company)
    here.press("send link")
    here.follow_last_letter()
    here.press("open account")
    code = here.page.locator("#code").inner_text()
    _sign_in(one, code)
    here.is_at("/password/")
    here.fill(old_password=code, new_password=NEW, repeated=NEW)
    here.press("save password")
    here.is_at("/")
    here.check("way-first-day")


def _sign_in(one: Customer, password: str) -> None:
    one.visit.window.open("/sign-in/")
    one.visit.fill(email=one.email, password=password)
    one.visit.press("sign in")


def set_up_second_factor(one: Customer) -> None:
    here = one.visit
    here.window.open("/second-factor/set-up/")
    one.secret = b32decode(here.page.locator("#secret").inner_text().replace(" ", ""))
    here.fill(token=app_value(one.secret))
    here.press("confirm")
    here.follow("kept")


def sign_agreement(one: Customer, service: Service, directory: Path) -> None:
    here = one.visit
    here.window.open("/agreements/")
    here.follow("fill in")
    here.fill(address="Bøgevej 7", postcode="8000", city="Aarhus C")
    here.press("save")
    here.window.open("/agreements/")
    here.follow("read agreement")
    here.sees(one.company)
    forward(STALE)
    here.press("to signing")
    step_up(one)
    here.page.wait_for_url("**/sign/")
    for name in ("authority", "terms"):
        here.page.locator(f'[name="{name}"]').check()
    here.press("sign")
    here.is_at("/agreements/")
    service.beat("dpa.countersign")
    here.sees(one.says(IN_FORCE))
    here.check("way-agreement")
    pdf = here.download("download signed")
    assert _signers(pdf) == [("Thea Lund", "Lund Papir ApS"), ("Brevdue ApS segl", "Brevdue ApS")]
    check_file(one, directory / "aftale.pdf", pdf, VALID)
    check_file(one, directory / "ændret.pdf", pdf + b"%more\n", CHANGED)


def step_up(one: Customer) -> None:
    one.visit.is_at("/second-factor/again/")
    one.visit.check("way-step-up")
    one.visit.fill(token=app_value(one.secret))
    one.visit.press("go on")


def _signers(pdf: bytes) -> list[tuple[str, str]]:
    """Who has signed, every signature sound; apart, as Playwright's loop runs in this thread."""
    with ThreadPoolExecutor(1) as worker:
        found = worker.submit(seals.verify, pdf, now=clock.now()).result()
    assert found.sound
    return [(signature.signer, signature.organisation) for signature in found.signatures]


def check_file(one: Customer, file: Path, content: bytes, words: tuple[str, str]) -> None:
    file.write_bytes(content)
    one.visit.window.open("/agreements/verify/")
    one.visit.page.locator('[name="file"]').set_input_files(file)
    one.visit.press("check file")
    one.visit.sees(one.says(words))
    one.visit.check(f"way-checked-{file.stem}")


def get_ready_to_send(one: Customer, service: Service) -> None:
    here = one.visit
    here.window.open("/domains/")
    here.follow("add domain")
    here.fill(name=one.domain)
    here.press("add")
    name, value = (here.page.locator(f"#proof-{part}").inner_text() for part in ("name", "value"))
    service.dns.add(f'{name}. 60 IN TXT "{value}"')
    here.press("check now")
    here.sees(one.says(PROVEN))
    here.window.open("/routes/")
    here.follow("new route")
    here.fill(name="Papirets server", host="127.0.0.1", port=str(service.far_end.port))
    here.page.locator('[name="security"][value="starttls"]').check()
    here.press("save")
    here.press("test")
    here.sees(one.says(CONNECTED))
    here.check("way-route")


def send(one: Customer, service: Service) -> None:
    """By SMTP, as the shop's program does; then look it up in the log."""
    here = one.visit
    here.window.open("/credentials/")
    here.follow("new credential")
    here.fill(name="Butik")
    here.press("make credential")
    username, secret = (
        here.page.locator(f"#{part}").inner_text() for part in ("username", "secret")
    )
    here.follow("kept secret")
    service.beat("relay.deliver")
    content = hand_in(service, username, secret, f"hej@{one.domain}")
    assert wait_until(lambda: bool(service.far_end.ledger), PATIENCE), service.said()
    (arrived,) = service.far_end.ledger
    assert (arrived.recipients, arrived.tls) == ([RECIPIENT], True)
    assert arrived.content.endswith(content)
    assert wait_until(lambda: mail.value("SELECT count(*) FROM relay_content") == 0, PATIENCE)
    see_in_log(one)
    here.window.open("/")
    here.check("way-dashboard")


def hand_in(service: Service, username: str, secret: str, sender: str) -> bytes:
    content = (
        f"From: <{sender}>\r\nTo: <{RECIPIENT}>\r\nSubject: Papiret er sendt\r\n"
        "Date: Sun, 22 Nov 2026 05:00:00 +0000\r\nMessage-ID: <1@lundpapir.example>\r\n\r\n"
        "Kom godt frem.\r\n"
    ).encode()
    trust = ssl.create_default_context(cafile=service.ca_file)
    with smtplib.SMTP("127.0.0.1", service.smtp_port, timeout=PATIENCE) as client:
        client.starttls(context=trust)
        client.login(username, secret)
        assert client.sendmail(sender, [RECIPIENT], content) == {}
    return content


def see_in_log(one: Customer) -> None:
    here = one.visit
    here.window.open("/log/")
    row = here.page.locator("main tbody tr")
    expect(row).to_have_count(1)
    expect(row).to_contain_text(RECIPIENT)
    expect(row).to_contain_text(one.says(ARRIVED))
    here.check("way-log")
    row.get_by_role("link").first.click()
    here.sees(one.says(DESTROYED))
    here.check("way-message")


def get_own_data(one: Customer) -> None:
    here = one.visit
    here.window.open("/privacy/requests/")
    here.follow("new request")
    step_up(one)
    here.page.locator('[name="rights"][value="access"]').check()
    here.press("send request")
    expect(
        here.page.locator("main").get_by_role("link", name=here.word("download"))
    ).to_be_visible()
    here.check("way-request")
    judge(one, here.download("download"))


def judge(one: Customer, content: bytes) -> None:
    """The package is whole, and holds this person and nobody else."""
    with zipfile.ZipFile(io.BytesIO(content)) as book:
        parts = {name: book.read(name) for name in book.namelist()}
    told = json.loads(parts.pop("manifest.json"))
    digests = {file["path"]: file["sha256"] for file in told["files"]}
    assert digests == {name: sha256(part).hexdigest() for name, part in parts.items()}
    (row,) = json.loads(parts["json/accounts-user-1.json"])["rows"]
    assert (row["email"], row["first_name"]) == (one.email, one.first_name)
    sheet = poppler.words(parts["access.pdf"])
    assert f"{one.first_name} {one.last_name}" in sheet
    everything = b"".join([*parts.values(), sheet.encode()])
    for other in ("anna@due.example", "carl@fremmed.example", "Andet Hus", "Duehuset", RECIPIENT):
        assert other.encode() not in everything


def close_organisation(one: Customer) -> None:
    here = one.visit
    here.window.open("/privacy/requests/")
    here.follow("what erasure does")
    here.check("way-last-owner")
    here.follow("close it")
    here.press("close organisation")
    here.is_at("/organisation/")
    here.check("way-closing")


def hand_over(one: Customer, olga: Visit) -> None:
    """Invite a second owner, who says yes and is let in."""
    here = one.visit
    here.window.open("/privacy/requests/")
    here.follow("what erasure does")
    here.check("way-last-owner")
    here.follow("hand it over")
    here.follow("invite somebody")
    here.fill(email="olga@lundpapir.example")
    here.page.locator('[name="role"][value="owner"]').check()
    here.press("invite")
    here.is_at("/team/")
    olga.follow_last_letter()
    olga.fill(first_name="Olga", last_name="Lund")
    olga.press("yes")
    here.window.open("/team/")
    here.press("let in")
    here.sees("Olga Lund")


def ask_for_erasure(one: Customer, service: Service) -> None:
    here = one.visit
    here.window.open("/privacy/requests/")
    here.follow("what erasure does")
    here.check("way-erasure")
    here.follow("erase")
    here.press("erase")
    here.is_at("/privacy/erasure/")
    here.sees(one.says(CANCEL))
    service.beat("gdpr.start_erasures")
    _reload_until(here, lambda: here.page.locator("#goes").is_visible())
    here.check("way-cool-down")
    here.window.open("/log/")
    here.is_at("/privacy/erasure/")


def _reload_until(here: Visit, shown: Callable[[], bool]) -> None:
    def look() -> bool:
        here.page.reload()
        return shown()

    assert wait_until(look, PATIENCE, every=0.5)


def be_erased(one: Customer, service: Service, directory: Path) -> None:
    """By the worker, when its time has come; the certificate comes by mail."""
    here = one.visit
    service.beat("gdpr.start_erasures")
    told = wait_until(lambda: "/certificate/" in letters()[-1]["text"], PATIENCE)
    assert told, service.said()
    assert letters()[-1]["to"] == one.email
    here.follow_last_letter()
    here.check("way-certificate")
    pdf = here.download("certificate")
    assert _signers(pdf) == [("Brevdue ApS segl", "Brevdue ApS")]
    assert not re.search("thea|lund", poppler.words(pdf), re.IGNORECASE)
    check_file(one, directory / "attest.pdf", pdf, SEALED)


def be_unknown(one: Customer) -> None:
    """Signed out, cannot sign in, and the address can begin anew."""
    here = one.visit
    here.window.open("/log/")
    here.is_at("/sign-in/")
    _sign_in(one, NEW)
    here.sees(one.says(REFUSED))
    here.check("way-unknown")
    here.window.open("/sign-up/")
    here.fill(first_name=one.first_name, last_name=one.last_name)
    here.fill(email=one.email, name=one.company)
    here.press("send link")
    here.is_at("/sign-up/sent/")
    assert letters()[-1]["kind"] == "confirm_address"
    with build.as_owner():
        assert not mail.value("SELECT count(*) FROM accounts_user WHERE email = %s", one.email)
