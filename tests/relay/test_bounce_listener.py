# SPDX-License-Identifier: AGPL-3.0-or-later
"""Mail that comes back, from the socket of the process to the log."""

from __future__ import annotations

import re
import smtplib
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest

from accounts.ids import uuid7
from accounts.models import Organisation
from config.stack.state import free_port
from relay import returnpaths
from relay.bouncing import FOR_POSTMASTER
from relay.returnpaths import ReturnPath
from tests.relay import mail
from tests.relay.bounces.letters import AUTOMATIC, group, report
from tests.relay.process import Process, running
from tests.testbed.certificates import Authority

pytestmark = pytest.mark.django_db(transaction=True)

OURS = "retur.brevdue.example"


@pytest.mark.behaviour(42)
def test_report_is_taken_from_a_stranger_and_nothing_of_it_is_left(
    house: Organisation, authority: Authority, tmp_path: Path
) -> None:
    message = mail.message(house.id)
    mail.run(mail.keep(message))
    mail.execute("DELETE FROM relay_queueddelivery")
    mail.execute("DELETE FROM relay_content")
    mail.execute("UPDATE relay_delivery SET state = 'delivered'")
    token = returnpaths.written(ReturnPath(message.id, 0))
    unknown = returnpaths.written(ReturnPath(uuid7(mail.now()), 0))
    port = str(free_port())
    extra = {"RELAY_BOUNCE_DOMAIN": OURS, "BOUNCE_PORT": port, "LOG_LEVEL": "DEBUG"}
    with running(Process(authority, tmp_path, **extra)) as process:
        with smtplib.SMTP("localhost", int(port), timeout=60) as smtp:
            smtp.starttls(context=process.trusted)
            smtp.ehlo("mx.modtager.example")
            assert not smtp.has_extn("auth")
            # What is no report, one about a mail that nobody knows, and the one that counts.
            smtp.sendmail("", [f"{token}@{OURS}"], AUTOMATIC[0].content)
            smtp.sendmail("", [f"{unknown}@{OURS}"], report(group()))
            smtp.sendmail("", [f"{token.upper()}@bounce.due.example"], report(group()))
            smtp.sendmail("erik@modtager.example", [f"postmaster@{OURS}"], b"Subject: hej\r\n\r\n")
            smtp.mail("")
            other = "c" if token[20] == "b" else "b"
            assert smtp.rcpt(f"{token[:20]}{other}{token[21:]}@{OURS}")[0] == 550
            assert smtp.rcpt(f"erik@{OURS}")[0] == 550
        code, logged = process.end()
    assert code == 0
    assert mail.rows("SELECT state, final_reason FROM relay_delivery WHERE message_id = %s",
        message.id) == [("bounced", "returned")]  # fmt: skip
    assert mail.rows("SELECT kind, scope, is_hard, enhanced, reply FROM relay_report") == [
        ("failed", "recipient", True, "5.1.1", "no such user")
    ]
    assert mail.value("SELECT count(*) FROM relay_suppression") == 1
    assert mail.value("SELECT count(*) FROM relay_message WHERE is_notification") == 1
    assert mail.rows("SELECT kind, count FROM accounts_alert") == [(FOR_POSTMASTER, 1)]
    assert "@" not in logged
    assert not re.search(token, logged, re.IGNORECASE)


def test_without_a_domain_nobody_listens(authority: Authority, tmp_path: Path) -> None:
    port = str(free_port())
    extra = {"RELAY_BOUNCE_DOMAIN": "", "BOUNCE_PORT": port}
    with (
        running(Process(authority, tmp_path, **extra)),
        pytest.raises(ConnectionRefusedError),
    ):
        smtplib.SMTP("localhost", int(port), timeout=60)


def bring(port: int, token: str) -> bool:
    """Bring a report as a server does; False: it is to be brought again."""
    try:
        with smtplib.SMTP("localhost", port, timeout=60) as smtp:
            smtp.sendmail("", [f"{token}@{OURS}"], report(group()))
    except (smtplib.SMTPException, OSError):
        return False
    return True


@pytest.mark.full
@pytest.mark.timeout(900)
@pytest.mark.behaviour(45)
def test_each_report_is_told_once_however_often_the_process_dies(
    house: Organisation, authority: Authority, tmp_path: Path
) -> None:
    messages = [mail.message(house.id) for _ in range(40)]
    mail.run(mail.keep(*messages))
    mail.execute("DELETE FROM relay_queueddelivery")
    mail.execute("DELETE FROM relay_content")
    mail.execute("UPDATE relay_delivery SET state = 'delivered'")
    port = free_port()
    extra = {"RELAY_BOUNCE_DOMAIN": OURS, "BOUNCE_PORT": str(port)}
    waiting = [returnpaths.written(ReturnPath(one.id, 0)) for one in messages]
    kills = 0
    with running(Process(authority, tmp_path, **extra)) as process:
        while waiting:
            with ThreadPoolExecutor(4) as servers:
                brought = servers.map(partial(bring, port), waiting)
                is_first_taken = next(brought)
                if kills < 3:
                    kills += 1
                    process.process.kill()
                    process.process.communicate()
                    process.ready()
                    is_first_taken = bring(port, waiting[0])  # once more, whatever it was told
                answers = [is_first_taken, *brought]
            waiting = [one for one, is_taken in zip(waiting, answers, strict=True) if not is_taken]
    told = "SELECT count(*), count(DISTINCT message_id) FROM relay_report"
    assert mail.rows(told) == [(len(messages), len(messages))]
    notices = mail.value("SELECT count(*) FROM relay_message WHERE is_notification")
    assert notices == len(messages)
    assert mail.value("SELECT sum(returned) FROM relay_count") == len(messages)
