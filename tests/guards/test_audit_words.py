# SPDX-License-Identifier: AGPL-3.0-or-later
"""Every act that an organisation's audit trail records has its words there, and no word is left."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from accounts.audit import trail
from accounts.models import Organisation
from config.settings import BASE_DIR
from gdpr.models import ForwardedRequest
from relay.models import SendingDomain

# The acts that are named after a new state: staff give three of a standing, an owner the fourth.
OF_STATES = {
    "organisation.": {"good", "unpaid", "suspended", "closing"},
    "domain.": set(SendingDomain.State.values),
    "forwarded.": set(ForwardedRequest.State.values) - {ForwardedRequest.State.NEW},
}


def _recorded() -> Iterator[str]:
    """The deed of each act that is written to an organisation's chain."""
    for place in ("accounts", "relay", "gdpr", "dpa", "config"):
        for path in (BASE_DIR / place).rglob("*.py"):
            yield from _in(path)


def _in(path: Path) -> Iterator[str]:
    for call in ast.walk(ast.parse(path.read_text())):
        if not isinstance(call, ast.Call) or len(call.args) < 3:
            continue
        if ast.unparse(call.func) not in ("audit.record", "record"):
            continue
        act = call.args[1]
        if isinstance(act, ast.Constant):
            yield str(act.value).rpartition(".")[2]
        else:
            assert isinstance(act, ast.JoinedStr), f"{path}: an act that no reader can know"
            assert isinstance(act.values[0], ast.Constant)
            yield from OF_STATES[str(act.values[0].value)]


def test_every_act_has_words_and_every_word_an_act() -> None:
    assert OF_STATES["organisation."] <= set(Organisation.Standing.values)
    assert set(_recorded()) == set(trail.DEEDS)
