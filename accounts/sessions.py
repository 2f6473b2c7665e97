# SPDX-License-Identifier: AGPL-3.0-or-later
"""Sessions in the database (`SESSION_ENGINE`) that know their person, but not their own key.

The browser holds the key, the table a digest of it: whoever reads the table, or a dump of it,
cannot be anybody.
"""

from __future__ import annotations

import hashlib
from typing import Any
from uuid import UUID

from django.contrib.auth import SESSION_KEY
from django.contrib.sessions.backends.db import SessionStore as DatabaseStore
from django.utils import timezone

from accounts.models.users import Session


def stored_key(session_key: str | None) -> str:
    """Return what the table has for a key: 160 bits of its SHA-256; the key itself is random."""
    return hashlib.sha256((session_key or "").encode()).hexdigest()[:40]


class SessionStore(DatabaseStore):
    @classmethod
    def get_model_class(cls) -> type[Session]:
        return Session

    def create_model_instance(self, data: dict[str, Any]) -> Session:
        row = super().create_model_instance(data)
        assert isinstance(row, Session)
        row.session_key = stored_key(row.session_key)
        user_id = data.get(SESSION_KEY)
        row.user_id = UUID(user_id) if user_id else None
        return row

    def exists(self, session_key: str) -> bool:
        return super().exists(stored_key(session_key))

    def delete(self, session_key: str | None = None) -> None:
        key = session_key or self.session_key
        if key is not None:
            Session.objects.filter(session_key=stored_key(key)).delete()

    def _get_session_from_db(self) -> Session | None:
        row = Session.objects.filter(
            session_key=stored_key(self.session_key), expire_date__gt=timezone.now()
        ).first()
        if row is None:
            # Whoever brings a key that is not known gets a new one (session fixation).
            self._session_key = None
        return row
