# SPDX-License-Identifier: AGPL-3.0-or-later
from __future__ import annotations

import logging

import pytest
from django.conf import settings
from kombu import Connection
from redis import Redis
from redis.exceptions import OutOfMemoryError, ResponseError

from config.broker import Transport
from config.celery import app

QUEUE = "tests-of-the-broker"


@pytest.fixture
def connection() -> Connection:
    return app.connection_for_read(settings.REDIS_URL)


def _received(connection: Connection):
    """A message that was taken from the broker and is not acknowledged yet."""
    queue = connection.SimpleQueue(QUEUE)
    queue.put("a task")
    return queue.get(timeout=60)


def test_celery_uses_the_transport(connection: Connection) -> None:
    assert isinstance(connection.transport, Transport)


def test_acknowledging_through_a_closed_channel_is_told_and_ends_nothing(
    connection: Connection, caplog: pytest.LogCaptureFixture
) -> None:
    message = _received(connection)
    connection.release()

    with caplog.at_level(logging.CRITICAL):
        message.ack_log_error(logging.getLogger(__name__), connection.connection_errors)

    assert "Couldn't ack" in caplog.text


def test_a_connection_is_closed_with_tasks_unacknowledged_and_nothing_is_given_back(
    connection: Connection,
) -> None:
    _received(connection)
    connection.release()

    with Redis.from_url(settings.REDIS_URL) as broker:
        assert broker.llen(QUEUE) == 0


@pytest.mark.parametrize("refusal", [ResponseError("MISCONF no space left"), OutOfMemoryError()])
def test_a_redis_without_room_counts_as_one_that_is_away(
    connection: Connection, refusal: ResponseError
) -> None:
    # Celery's consumer goes on after these, and ends its worker after any other.
    assert isinstance(refusal, connection.connection_errors)
