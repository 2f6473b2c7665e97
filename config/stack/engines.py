# SPDX-License-Identifier: AGPL-3.0-or-later
"""Both engines together: those of the environment when it names some, else embedded ones."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from accounts.database import LOGIN_ROLES, OWNER, roles_sql
from config.stack.failure import StackError
from config.stack.places import Account
from config.stack.postgresql import PostgreSQL
from config.stack.state import State
from config.stack.valkey import Valkey

DATABASE = "brevdue"
REVIVALS = 5


@dataclass(slots=True)
class Engines:
    """What is started here; an engine that the environment already names is None."""

    postgresql: PostgreSQL | None
    valkey: Valkey | None
    state: State

    @classmethod
    def below(
        cls, home: Path, account: Account, state: State, environment: Mapping[str, str]
    ) -> Engines:
        home.chmod(0o711)
        postgresql = valkey = None
        if not environment.get("DATABASE_URL"):
            postgresql = PostgreSQL(home, account, 0, state.secret("postgresql"))
        if not environment.get("REDIS_URL"):
            valkey = Valkey(home, account, 0, state.secret("valkey"))
        return cls(postgresql, valkey, state)

    def start(self) -> None:
        """Start both, and make roles and database; raises StackError."""
        # What was left holds the kept port, so it goes before the port is looked at.
        self.stop_leftovers()
        if self.valkey:
            self.valkey.port = self.state.port("valkey_port")
            self.valkey.start()
        if self.postgresql:
            self.postgresql.port = self.state.port("postgresql_port")
            self.postgresql.start()
            self.postgresql.run_script(
                roles_sql(self._passwords(), DATABASE, may_create_databases=True)
            )

    def revive(self) -> list[str]:
        """Start again what ended by itself; returns its names. Raises StackError."""
        ended = [engine for engine in (self.valkey, self.postgresql) if engine and engine.ended()]
        for engine in ended:
            _start_again(engine)
        return [type(engine).__name__ for engine in ended]

    def stop_leftovers(self) -> None:
        """Stop what a killed launcher left."""
        if self.valkey:
            self.valkey.port = self.state.kept_port("valkey_port")
            self.valkey.stop_leftover()
        if self.postgresql:
            self.postgresql.stop_leftover()

    def stop(self) -> None:
        for engine in (self.postgresql, self.valkey):
            if engine:
                engine.stop()

    def _passwords(self) -> dict[str, str]:
        return {role: self.state.secret(f"role_{role}") for role in LOGIN_ROLES}

    def environment(self) -> dict[str, str]:
        """The addresses of what was started here, one for each database role."""
        found = {}
        if self.valkey:
            found["REDIS_URL"] = self.valkey.url()
        if self.postgresql:
            for role, password in self._passwords().items():
                name = "DATABASE_URL" if role == OWNER else f"{role.upper()}_DATABASE_URL"
                found[name] = self.postgresql.url(role, password, DATABASE)
        return found


def _start_again(engine: PostgreSQL | Valkey) -> None:
    """The children of a killed PostgreSQL hold its shared memory for a moment longer."""
    for _ in range(REVIVALS):
        with contextlib.suppress(StackError):
            return engine.start()
        time.sleep(1)
    return engine.start()
