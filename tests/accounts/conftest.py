# SPDX-License-Identifier: AGPL-3.0-or-later
from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.conf import settings
from django.contrib.auth.models import AnonymousUser
from django.http import HttpRequest
from django.test import RequestFactory
from pytest_django.fixtures import Settings

from accounts import limits, redisclient
from accounts.models import User
from accounts.sessions import SessionStore
from tests import build

Browser = Callable[..., HttpRequest]


class Clock:
    """The time as the code sees it; a test moves it."""

    def __init__(self) -> None:
        self.now = build.NOW

    def __call__(self) -> datetime:
        return self.now

    def forward(self, **duration: float) -> None:
        self.now += timedelta(**duration)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    moved = Clock()
    monkeypatch.setattr("accounts.clock.now", moved)
    return moved


@pytest.fixture
def as_duty_process(settings: Settings) -> None:
    """Let commands believe that the process was started for the worker's role."""
    settings.DATABASE_ROLE = "duty"


@pytest.fixture(scope="session", autouse=True)
def _patient_redis() -> Iterator[None]:
    """A busy machine must not look like a Redis that is gone."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(redisclient, "ANSWER_SECONDS", 20)
        yield


@pytest.fixture(autouse=True)
def _fresh_limits() -> Iterator[None]:
    limits._redis(settings.REDIS_URL).flushdb()
    limits._without_redis.clear()
    yield
    limits._without_redis.clear()


@pytest.fixture
def browser(rf: RequestFactory) -> Browser:
    """Make a request with a session that is in the database, of this person when given."""

    def make(user: User | None = None, **cookies: str) -> HttpRequest:
        request: Any = rf.post("/")
        request.COOKIES.update(cookies)
        request.session = SessionStore()
        request.session.create()
        request.user = user or AnonymousUser()
        made: HttpRequest = request
        return made

    return make
