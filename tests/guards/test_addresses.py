# SPDX-License-Identifier: AGPL-3.0-or-later
"""Mail that arrives, fails or meets a fault leaves no address in a log, in Redis or in the audit.

The real processes run with DEBUG logging; every command that Redis sees is read along.
"""

from __future__ import annotations

import base64
import re
import smtplib
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from django.conf import settings
from redis import Redis

from accounts.models import Organisation
from config.stack.state import free_port
from relay.models import Route
from tests import build
from tests.relay import mail
from tests.relay.process import Process, running
from tests.relay.submitting import SECRET, credential, domain
from tests.relay.test_worker import ask_for_shifts, slots_taken, within, worker
from tests.testbed.certificates import Authority
from tests.testbed.smtp import FarEnd, Script, threaded

pytestmark = pytest.mark.django_db(transaction=True)

# Every local part has the first word, every domain one of the others, the content the last.
MARKS = ("hemmelig", "modtager.example", "firma.example", "fortroligt")
ENCODED = re.compile(r"[A-Za-z0-9+/]{24,}={0,2}")
TABLES = ("django_admin_log", "accounts_auditevent", "accounts_alert")
REFUSED = "550 5.1.1 <erik.hemmelig.gone@modtager.example> unknown"


def found(text: str) -> list[str]:
    """The marks in a text, also where a piece of it is base64."""
    pieces = [text, *map(_decoded, ENCODED.findall(text))]
    return [mark for mark in MARKS if any(mark in piece.lower() for piece in pieces)]


def _decoded(piece: str) -> str:
    whole = piece[: len(piece) // 4 * 4]
    return base64.b64decode(whole).decode("utf-8", "replace")


@contextmanager
def listening_to_redis() -> Iterator[list[str]]:
    """What every client says to Redis while the block runs."""
    said: list[str] = []
    end = "the-end-of-listening"

    def listen(ready: threading.Event) -> None:
        with (
            Redis.from_url(settings.REDIS_URL, socket_timeout=None) as redis,
            redis.monitor() as monitor,
        ):
            ready.set()
            for command in monitor.listen():
                said.append(str(command["command"]))
                if end in said[-1]:
                    return

    ready = threading.Event()
    thread = threading.Thread(target=listen, args=(ready,))
    thread.start()
    assert ready.wait(10)
    try:
        yield said
    finally:
        with Redis.from_url(settings.REDIS_URL) as redis:
            redis.echo(end)
        thread.join(10)


def house(name: str, **fields: object) -> Organisation:
    """An organisation whose user name and domain are made from its name."""
    made = mail.organisation(name)
    domain(made, f"{name}.firma.example")
    credential(made, name)
    values = {"name": "server", "host": "127.0.0.1", "security": Route.Security.NONE}
    with build.as_owner():
        Route.objects.create(organisation=made, created_at=build.NOW, **values | fields)
    return made


def send(process: Process, name: str, *recipients: str) -> None:
    with smtplib.SMTP("localhost", process.port) as smtp:
        smtp.starttls(context=process.trusted)
        smtp.login(name, SECRET)
        author = f"anna.hemmelig@{name}.firma.example"
        content = f"From: {author}\r\nSubject: fortroligt\r\n\r\nfortroligt\r\n"
        smtp.sendmail(author, recipients, content.encode())


def be_refused(process: Process) -> None:
    """Everything that a client can get wrong with an address in it."""
    with smtplib.SMTP("localhost", process.port) as smtp:
        smtp.starttls(context=process.trusted)
        with pytest.raises(smtplib.SMTPAuthenticationError):
            smtp.login("erik.hemmelig@modtager.example", "fortroligt")
        smtp.login("delivers", SECRET)
        smtp.docmd("MAIL FROM:<anna.hemmelig@modtager.example>")
        smtp.docmd("MAIL FROM:<anna.hemmelig@delivers.firma.example> X=erik.hemmelig")
        smtp.docmd("MAIL FROM:<anna.hemmelig@delivers.firma.example>")
        smtp.docmd("RCPT TO:<erik.hemmelig@@modtager.example>")


FAULT = """
CREATE FUNCTION fault() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN RAISE EXCEPTION USING MESSAGE = 'refused ' || NEW.recipient; END $$;
CREATE TRIGGER fault BEFORE INSERT ON relay_queueddelivery
    FOR EACH ROW EXECUTE FUNCTION fault();
"""


def meet_a_fault(process: Process) -> None:
    """The database refuses a row, and its error quotes it."""
    mail.execute(FAULT)
    try:
        with pytest.raises(smtplib.SMTPDataError, match="451"):
            send(process, "delivers", "ida.hemmelig@modtager.example")
    finally:
        mail.execute("DROP FUNCTION fault() CASCADE")


def in_redis() -> str:
    readers: dict[bytes, Callable[[Redis, bytes], object]] = {
        b"string": lambda redis, key: redis.get(key),
        b"hash": lambda redis, key: redis.hgetall(key),
        b"list": lambda redis, key: redis.lrange(key, 0, -1),
        b"set": lambda redis, key: redis.smembers(key),
        b"zset": lambda redis, key: redis.zrange(key, 0, -1),
    }
    with Redis.from_url(settings.REDIS_URL) as redis:
        keys = list(redis.scan_iter())
        return "".join(f"{key!r} {readers[redis.type(key)](redis, key)!r}\n" for key in keys)


@pytest.fixture(autouse=True)
def _empty_redis() -> Iterator[None]:
    with Redis.from_url(settings.REDIS_URL) as redis:
        redis.flushdb()
        yield
        redis.flushdb()


def test_marks_are_found_in_clear_and_encoded() -> None:
    assert found("x erik.Hemmelig y") == ["hemmelig"]
    assert found(base64.b64encode(b'["erik.hemmelig", "and more"]').decode()) == ["hemmelig"]
    assert found("nothing") == []


def test_no_address_outside_the_tables_made_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOG_LEVEL", "DEBUG")
    log = tmp_path / "worker"
    script = Script(rcpt={"erik.hemmelig.gone@modtager.example": REFUSED})
    smtpd = Process(Authority(tmp_path), tmp_path)
    with threaded(FarEnd(script)) as far_end, listening_to_redis() as said, running(smtpd):
        house("delivers", port=far_end.port)
        house("unreachable", port=free_port())
        house("faulty", port=far_end.port, username="x", sealed_secret=b"never sealed")
        with worker(far_end.port, log) as process:
            ask_for_shifts()
            within(30, slots_taken)
            send(smtpd, "delivers", "erik.hemmelig@modtager.example")
            send(smtpd, "delivers", "erik.hemmelig.gone@modtager.example")
            send(smtpd, "unreachable", "erik.hemmelig@modtager.example")
            send(smtpd, "faulty", "erik.hemmelig@modtager.example")
            be_refused(smtpd)
            meet_a_fault(smtpd)
            within(20, lambda: "cannot be opened" in log.read_text())
            within(20, lambda: states() == ["bounced", "delivered", "waiting", "waiting"])
            process.terminate()
            process.wait(15)
        _, logged = smtpd.end()
        kept = in_redis()
    assert "store: unavailable" in logged
    assert "DEBUG" in logged + log.read_text()
    assert any("relay:wake" in command for command in said)
    assert found(logged) == []
    assert found(log.read_text()) == []
    assert found(kept) == []
    assert found("\n".join(said)) == []
    for table in TABLES:
        rows = mail.rows(f"SELECT t::text FROM {table} t")
        assert found(str(rows)) == [], table


def states() -> list[str]:
    """Of every delivery but those of notifications, in order of the alphabet."""
    return [state for (state,) in mail.rows(
        "SELECT d.state FROM relay_delivery d JOIN relay_message m ON m.id = d.message_id"
        " WHERE NOT m.is_notification ORDER BY 1")]  # fmt: skip
