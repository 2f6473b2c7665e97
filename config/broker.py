# SPDX-License-Identifier: AGPL-3.0-or-later
"""Redis as Celery's broker, mended: a worker outlives a Redis that goes away while a task runs.

A task that ends after its connection did is acknowledged through a channel that is closed. That
raises an AttributeError (kombu 5.7), which ends the worker; as the connection error that it is,
it is told in the log and the worker goes on. What was not acknowledged needs not be given back
either: beat brings every task again.
"""

from __future__ import annotations

from typing import Any

from kombu.transport import TRANSPORT_ALIASES, redis
from redis.exceptions import ConnectionError as Disconnected
from redis.exceptions import ResponseError


class QoS(redis.QoS):
    restore_at_shutdown = False


class Channel(redis.Channel):
    QoS = QoS

    def _connparams(self, asynchronous: bool = False) -> dict[str, Any]:
        if self.connection is None or self.connection.client is None:
            raise Disconnected("the channel is closed")
        parameters: dict[str, Any] = super()._connparams(asynchronous)  # type: ignore[misc] # no stub
        return parameters


class Transport(redis.Transport):
    Channel = Channel
    # One without room, in memory or on its disk, answers, but refuses to write. A worker that took
    # that for a fault of its own would end; so it comes again, as to one that is away.
    connection_errors = (*redis.Transport.connection_errors, ResponseError)


def install() -> None:
    """Have Celery use it for URLs of Redis."""
    for scheme in ("redis", "rediss"):
        TRANSPORT_ALIASES[scheme] = f"{__name__}:{Transport.__name__}"
