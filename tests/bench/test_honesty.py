# SPDX-License-Identifier: AGPL-3.0-or-later
"""Each piece of work that a benchmark could be spared is missed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests.bench import honesty
from tests.bench.honesty import Connection
from tests.bench.load import TEXT
from tests.relay import mail
from tests.rig.service import SignIn
from tests.testbed.smtp import FarEnd, Script, threaded

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def relay() -> Iterator[Connection]:
    with psycopg.connect(mail.dsn("relay")) as connection:
        yield connection


@pytest.fixture
def owner() -> Iterator[Connection]:
    with psycopg.connect(mail.dsn("owner")) as connection:
        yield connection


def test_commit_that_does_not_wait_for_the_disk(relay: Connection) -> None:
    relay.execute("SET synchronous_commit = off")
    assert "synchronous_commit is off" in honesty.durability(relay)


def test_role_that_row_level_security_does_not_bind(relay: Connection, owner: Connection) -> None:
    assert honesty.role(relay) == []
    assert honesty.role(owner) == ["the role is not bound by row-level security"]


def test_server_without_a_policy() -> None:
    script = Script(features=("AUTH PLAIN", "8BITMIME"))
    with threaded(FarEnd(script=script)) as anybody:
        found = honesty.policy(SignIn(anybody.port, "somebody", "secret"))
    assert found == ["a sender without sign-in is taken", "another's domain is taken"]


def test_content_in_clear(owner: Connection) -> None:
    assert honesty.sealing(owner) == ["no content to look at"]
    mail.run(mail.keep(mail.message(mail.organisation().id, content=TEXT)))
    assert honesty.sealing(owner) == []
    owner.execute("UPDATE relay_content SET ciphertext = %s", [TEXT])
    assert honesty.sealing(owner) == ["content is not sealed"]


def test_log_that_lacks_something(owner: Connection) -> None:
    mail.run(mail.keep(mail.message(mail.organisation().id)))
    assert honesty.log(owner, 0) == []
    lacking = ["the log has 0 deliveries", "the log has 0 attempts"]
    assert honesty.log(owner, 1) == lacking


def test_queue_on_another_disk(tmp_path: Path) -> None:
    assert honesty.disks(tmp_path, tmp_path) == []
    assert honesty.disks(tmp_path, Path("/proc")) != []
