# SPDX-License-Identifier: AGPL-3.0-or-later
from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from accounts.models import Session, User
from accounts.sessions import SessionStore
from tests import build

pytestmark = pytest.mark.django_db


def test_key_of_the_browser_is_not_in_the_table(anna: User):
    key = build.session(anna)
    row = Session.objects.get()
    assert row.user_id == anna.id
    assert key not in (row.session_key, row.session_data)
    assert SessionStore(key)["_auth_user_id"] == str(anna.id)


def test_what_the_table_holds_opens_nothing(anna: User):
    build.session(anna)
    stolen = SessionStore(Session.objects.get().session_key)
    assert dict(stolen.items()) == {}
    assert stolen.session_key is None


def test_expired_session_opens_nothing(anna: User):
    key = build.session(anna)
    Session.objects.update(expire_date=timezone.now() - timedelta(seconds=1))
    assert dict(SessionStore(key).items()) == {}


def test_deleted_session_is_gone(anna: User):
    store = SessionStore(build.session(anna))
    assert store.exists(str(store.session_key))
    store.flush()
    assert not Session.objects.exists()
