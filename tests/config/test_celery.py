# SPDX-License-Identifier: AGPL-3.0-or-later
from __future__ import annotations

from config.celery import app


def test_a_worker_gives_nothing_back_to_a_redis_that_has_gone() -> None:
    # On the class that the transport really uses: giving back through a connection that is closed
    # already ends the worker.
    transport = app.connection_for_read("redis://127.0.0.1:1/0").transport

    assert not transport.Channel.QoS.restore_at_shutdown  # type: ignore[attr-defined] # no stub
