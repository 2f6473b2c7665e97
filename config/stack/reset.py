# SPDX-License-Identifier: AGPL-3.0-or-later
"""Forgetting a checkout's var/, and what lies elsewhere in its name."""

from __future__ import annotations

from config.stack.failure import StackError
from config.stack.leftovers import end_leftovers
from config.stack.places import VAR, engine_account, engine_home, forget_everything
from config.stack.running import embedded_engines, only_one
from config.stack.throwaway import forget_dead_runs


def reset() -> None:
    """Raises StackError while the stack or a test run uses what would go."""
    if not VAR.exists():
        return
    account = engine_account()
    with only_one():
        tests = engine_home("test", account)
        forget_dead_runs(tests, account)
        if any(tests.glob("run-*")):
            raise StackError("A test run of this checkout is going on; wait for its end.")
        end_leftovers()
        embedded_engines({}).stop_leftovers()
        forget_everything()
