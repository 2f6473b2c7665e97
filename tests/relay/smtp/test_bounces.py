# SPDX-License-Identifier: AGPL-3.0-or-later
"""Failures are told apart: the address that is gone from everything else."""

from __future__ import annotations

import pytest

from relay.smtp.bounces import Class, classify
from relay.smtp.replies import Scope
from relay.smtp.reports import Action, Reported, read
from tests.relay.bounces.letters import group, report
from tests.relay.bounces.refusals import GONE, POLICY


def judged(status: str, said: str, action: str = "failed") -> Class:
    content = report(group(status=status, said=said, action=action))
    (found,) = read(content, has_sender=False)
    return classify(found)


@pytest.mark.behaviour(42)
@pytest.mark.parametrize(("status", "said"), POLICY)
def test_refusal_that_is_not_about_the_address_never_counts_against_it(
    status: str, said: str
) -> None:
    assert not judged(status, said).is_hard


@pytest.mark.parametrize(("status", "said"), GONE)
def test_address_that_is_gone_is_hard(status: str, said: str) -> None:
    assert judged(status, said) == Class(Scope.RECIPIENT, is_hard=True)


@pytest.mark.parametrize(
    ("status", "said", "scope"),
    [
        ("5.7.1", "smtp; 550 5.7.1 spam", Scope.POLICY),
        ("5.7.1", "smtp; 554 Client host [192.0.2.7] blocked using lists", Scope.INFRASTRUCTURE),
        ("5.2.2", "smtp; 552 5.2.2 full", Scope.RECIPIENT),
        ("4.4.1", "X-Postfix; connection timed out", Scope.INFRASTRUCTURE),
        ("5.0.0", "smtp; 550 user unknown (in reply to end of DATA command)", Scope.POLICY),
        ("5.0.0", "smtp; 554 no (in reply to MAIL FROM command)", Scope.POLICY),
    ],
)
def test_blame_goes_where_the_reason_says(status: str, said: str, scope: Scope) -> None:
    assert judged(status, said) == Class(scope, is_hard=False)


def test_code_wins_over_a_status_of_another_class() -> None:
    assert not judged("5.1.1", "smtp; 450 5.1.1 no such user").is_hard


def test_delay_is_never_hard() -> None:
    assert not judged("5.1.1", "smtp; 550 5.1.1 no such user", action="delayed").is_hard


def test_failure_without_a_reason_is_nobodys_fault() -> None:
    assert classify(Reported(action=Action.FAILED)) == Class(Scope.INFRASTRUCTURE, is_hard=False)
