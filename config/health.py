# SPDX-License-Identifier: AGPL-3.0-or-later
"""`/healthz` says that the process runs, `/readyz` that it can do its work."""

from __future__ import annotations

import redis
from django.conf import settings
from django.db import DatabaseError, connection
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from accounts import redisclient


@require_safe
@never_cache
def healthz(request: HttpRequest) -> HttpResponse:
    return HttpResponse("ok\n", content_type="text/plain")


@require_safe
@never_cache
def readyz(request: HttpRequest) -> JsonResponse:
    """Database and broker; 503 when one of them is not well.

    The queue's age is told and decides nothing: a portal taken away would not deliver old mail.
    """
    age = _queue_age()
    parts = {"database": age is not None, "broker": _broker_answers()}
    ready = all(parts.values())
    return JsonResponse(
        {"ready": ready, **parts, "queue_age_seconds": age}, status=200 if ready else 503
    )


def _queue_age() -> int | None:
    """Return for how many seconds the oldest due delivery has stood; None without a database."""
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT relay_queue_age()")
            (seconds,) = cursor.fetchone()
    except DatabaseError:
        return None
    return int(seconds)


def _broker_answers() -> bool:
    client = redisclient.opened(settings.REDIS_URL, redisclient.ANSWER_SECONDS)
    try:
        return bool(client.ping())
    except redis.RedisError:
        return False
    finally:
        client.close()
