# SPDX-License-Identifier: AGPL-3.0-or-later
"""A real Postfix at either side: mail goes to it, comes from it, and comes back from it."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import smtplib
import subprocess
from collections.abc import Callable, Iterator
from glob import glob
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from pytest_django.fixtures import Settings

from accounts.models import Organisation
from config.stack.children import wait_until
from config.stack.state import free_port
from relay import returnpaths, routing, snippets
from relay.models import Route
from relay.queue import Accepted
from relay.returning import Returning
from relay.returnpaths import ReturnPath
from tests import build
from tests.bench.postfix import NotRun, Postfix
from tests.journeys.test_clients import MESSAGE, RECIPIENTS, SENDER
from tests.relay import mail
from tests.relay.process import Process, running
from tests.relay.stage import UNTRIED, Stage, becomes, route
from tests.relay.submitting import SECRET, Journal, credential, domain, serving
from tests.testbed.certificates import Authority
from tests.testbed.dns import NameServer
from tests.testbed.smtp import FarEnd, Script, threaded

pytestmark = pytest.mark.django_db(transaction=True)

OURS = "retur.brevdue.example"
USER = "brevdue"
ZONE = "other.example. 60 IN MX 10 mx.other.example.\nmx.other.example. 60 IN A 127.0.0.1"
PLAIN = "/usr/lib/*/sasl2/libplain.so*"
# A server that takes mail only over TLS and only from those who sign in.
SIGNED_IN = """
smtpd_tls_security_level = encrypt
smtpd_sasl_auth_enable = yes
smtpd_sasl_local_domain = reference.example
cyrus_sasl_config_path = $config_directory/sasl
mynetworks =
smtpd_relay_restrictions = permit_sasl_authenticated, reject
"""
SASL = """
pwcheck_method: auxprop
auxprop_plugin: sasldb
sasldb_path: {database}
mech_list: PLAIN LOGIN
"""
Start = Callable[..., Postfix]


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def house() -> Organisation:
    return mail.organisation()


@pytest.fixture
def home() -> Iterator[Path]:
    """A directory that Postfix's own users reach."""
    with TemporaryDirectory() as directory:
        Path(directory).chmod(0o755)
        yield Path(directory)


@pytest.fixture
def start(authority: Authority, home: Path) -> Iterator[Start]:
    """Start a Postfix that sends everything to a port, with more lines in its main.cf."""
    started: list[Postfix] = []

    def begin(port: int, more: str, sasl: str = "") -> Postfix:
        authority.server("127.0.0.1")
        found = authority.ca_file.parent.glob("127.0.0.1-*.pem")
        pem = shutil.copy(max(found, key=os.path.getmtime), home / "server.pem")
        postfix = Postfix(home / "postfix", port, str(pem), str(pem), more=more, sasl=sasl)
        try:
            postfix.start()
        except NotRun as reason:
            pytest.skip(f"not run: {reason}")
        started.append(postfix)
        return postfix

    yield begin
    for postfix in started:
        postfix.stop()


def told(postfix: Postfix) -> str:
    """What it logged, for a person who reads why a test failed."""
    log = postfix.home / "log" / "mail.log"
    return log.read_text() if log.exists() else ""


def carry(
    postfix: Postfix, authority: Authority, message: Accepted, dns: NameServer | None = None
) -> None:
    """Store a message and work a shift until it has been tried; `dns` is what it asks."""

    async def scenario() -> None:
        await mail.keep(message)
        stage = Stage(FarEnd(port=postfix.port), authority=authority, dns=dns)
        shift = stage.shift()
        shift.courier.paths = Returning(mail.dsn(), OURS, stage.now)
        working = asyncio.create_task(shift.run())
        await becomes(UNTRIED, 0)
        stage.stopping = True
        await working

    mail.run(scenario())


def letter(house: Organisation) -> Accepted:
    return mail.message(house.id, *RECIPIENTS, sender=SENDER, content=MESSAGE)


def test_mail_reaches_postfix_over_checked_tls_byte_for_byte(
    authority: Authority, start: Start, house: Organisation
) -> None:
    with threaded(FarEnd()) as far_end:
        postfix = start(far_end.port, "smtpd_tls_security_level = encrypt\n")
        route(house, port=postfix.port, security=Route.Security.STARTTLS)
        carry(postfix, authority, letter(house))
        assert wait_until(lambda: bool(far_end.ledger), 60), told(postfix)
        (received,) = far_end.ledger
    # Postfix writes its trace in front and touches nothing behind it.
    assert received.content.endswith(b"\r\n" + MESSAGE)
    assert received.content.startswith(b"Received: from relay.brevdue.example ")
    assert (received.sender, received.recipients) == (SENDER, RECIPIENTS)
    tried = "SELECT DISTINCT verdict, code, tls_demand, tls_result FROM relay_attempt"
    assert mail.rows(tried) == [("delivered", 250, "must", "verified")]


def test_postfix_knows_us_by_name_and_secret_and_a_wrong_one_pauses_the_route(
    authority: Authority, start: Start, house: Organisation, home: Path
) -> None:
    with threaded(FarEnd()) as far_end:
        postfix = start(far_end.port, SIGNED_IN, knowing(home))
        with build.as_owner():
            sealed = routing.seal_secret(house.id, SECRET)
        known = {"username": USER, "sealed_secret": sealed, "security": Route.Security.STARTTLS}
        route(house, port=postfix.port, **known)
        carry(postfix, authority, letter(house))
        assert mail.rows("SELECT DISTINCT verdict FROM relay_attempt") == [("delivered",)]
        assert wait_until(lambda: bool(far_end.ledger), 60), told(postfix)
        assert f"sasl_username={USER}" in told(postfix)
        with build.as_owner():
            wrong = routing.seal_secret(house.id, SECRET[::-1])
        mail.execute("UPDATE relay_route SET sealed_secret = %s, version = 2", wrong)
        carry(postfix, authority, letter(house))
        assert len(far_end.ledger) == 1
    assert mail.rows("SELECT pause_reason FROM relay_route") == [("sign_in_refused",)]
    assert mail.rows("SELECT DISTINCT code FROM relay_attempt WHERE verdict = 'retry'") == [(535,)]


def knowing(home: Path) -> str:
    """Return how Postfix is told to let in whoever knows the secret."""
    if not (shutil.which("saslpasswd2") and glob(PLAIN)):
        pytest.skip("not run: this Postfix knows no sign-ins (sasl2-bin, libsasl2-modules)")
    database = home / "sasldb2"
    command = ["saslpasswd2", "-p", "-c", "-f", str(database), "-u", "reference.example", USER]
    subprocess.run(command, input=SECRET.encode(), check=True)
    database.chmod(0o644)
    return SASL.format(database=database)


def test_postfix_set_up_as_the_page_says_submits_byte_for_byte(
    authority: Authority, start: Start, house: Organisation, settings: Settings, home: Path
) -> None:
    if not glob(PLAIN):
        pytest.skip("not run: this Postfix signs in nowhere (libsasl2-modules)")
    domain(house, "firma.example")
    credential(house)
    journal = Journal()
    with serving(journal, tls=authority.server("localhost")) as server:
        settings.SMTP_HOST, settings.SMTPS_PORT = "localhost", server.tls_port
        postfix = start(server.tls_port, as_printed(home, authority))
        with smtplib.SMTP("127.0.0.1", postfix.port) as client:
            assert client.sendmail(SENDER, RECIPIENTS, MESSAGE, ["BODY=8BITMIME"]) == {}
        assert wait_until(lambda: bool(journal.messages), 60), told(postfix)
    (accepted,) = journal.messages
    assert accepted.content.endswith(b"\r\n" + MESSAGE)
    assert accepted.envelope.sender == SENDER
    assert [recipient.address for recipient in accepted.envelope.recipients] == RECIPIENTS
    assert accepted.tls_version in ("TLSv1.2", "TLSv1.3")


def as_printed(directory: Path, authority: Authority) -> str:
    """Return the lines for main.cf that the page of a credential shows, with our trust store.

    Where they name a file of Postfix's own, ours is named: the secrets stand in it as printed.
    """
    printed = {one.title: one.text for one in snippets.snippets("anna", "firma.example")}
    main, _, secrets = printed["Postfix"].partition("\n\n")
    kept = directory / "sasl_passwd"
    kept.write_text(secrets.replace("SECRET", SECRET) + "\n")
    kept.chmod(0o644)
    assert "hash:/etc/postfix/sasl_passwd" in main
    named = main.replace("hash:/etc/postfix/sasl_passwd", f"texthash:{kept}")
    # Everybody's Postfix trusts some authorities; this one has to trust the test's.
    return f"{named}\nsmtp_tls_CAfile = {authority.ca_file}\n"


@pytest.mark.behaviour(42)
def test_what_postfix_returns_is_written_in_the_log_of_its_mail(
    authority: Authority, start: Start, house: Organisation, tmp_path: Path
) -> None:
    """Taken as the recipients' server, refused behind it, and returned by its bounce daemon."""
    message, port = letter(house), free_port()
    route(house, kind=Route.Kind.DIRECT, host="", security=Route.Security.OPPORTUNISTIC)
    process = Process(authority, tmp_path, RELAY_BOUNCE_DOMAIN=OURS, BOUNCE_PORT=str(port))
    script = Script(rcpt={RECIPIENTS[1]: "550 5.1.1 no such user"})
    back = f"transport_maps = inline:{{ {OURS}=smtp:[127.0.0.1]:{port} }}\n"
    back += "smtp_tls_security_level = may\n"
    with running(process), threaded(FarEnd(script)) as far_end, NameServer(ZONE) as dns:
        postfix = start(far_end.port, back)
        carry(postfix, authority, message, dns)
        # What comes back may be in the log by now.
        tried = "SELECT DISTINCT verdict, tls_result FROM relay_attempt WHERE verdict <> 'bounced'"
        assert mail.rows(tried) == [("delivered", "unverified")]
        count = "SELECT count(*) FROM relay_report"
        assert wait_until(lambda: mail.value(count) > 0, 60), told(postfix)
        (received,) = far_end.ledger
        _, logged = process.end()
    token = returnpaths.written(ReturnPath(message.id, None))
    assert received.sender == f"{token}@{OURS}"
    assert received.content.endswith(b"\r\n" + MESSAGE)
    states = (
        "SELECT state, final_reason FROM relay_delivery WHERE message_id = %s ORDER BY position"
    )
    assert mail.rows(states, message.id) == [("delivered", ""), ("bounced", "returned")]
    assert mail.rows("SELECT position, kind, scope, is_hard, enhanced FROM relay_report") == [
        (1, "failed", "recipient", True, "5.1.1")
    ]
    # Of two recipients with one return path, either could have named the other.
    assert mail.value("SELECT count(*) FROM relay_suppression") == 0
    # The sender is told, from here, and of the one alone.
    assert mail.value("SELECT count(*) FROM relay_message WHERE is_notification") == 1
    assert not re.search(f"@|{token}", logged, re.IGNORECASE)
