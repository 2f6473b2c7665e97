# SPDX-License-Identifier: AGPL-3.0-or-later
"""Each mark of an attempt has its words; none is shown as it is stored."""

from __future__ import annotations

import pytest

from relay import timelinewords
from relay.models import Attempt, Report, Route
from relay.smtp.replies import Scope
from relay.smtp.tls import TlsDemand, TlsResult


@pytest.mark.parametrize(
    ("verdict", "result", "words"),
    [
        ("delivered", "not_offered", "in clear: the server offered no encryption"),
        ("delivered", "failed", "in clear: encryption failed"),
        ("delivered", "plain", "in clear: encryption was not asked for"),
        # Nothing was sent, so nothing went in clear.
        ("retry", "not_offered", "the server offered no encryption"),
        ("bounced", "failed", "encryption failed"),
        ("delivered", "", ""),
    ],
)
def test_clear_text_says_why(verdict: str, result: str, words: str) -> None:
    assert timelinewords.unprotected(Attempt(verdict=verdict, tls_result=result)) == words


def test_protected_mail_was_not_in_clear() -> None:
    attempt = Attempt(verdict="delivered", tls_result="failed", tls_version="TLSv1.3")
    assert timelinewords.unprotected(attempt) == ""


@pytest.mark.parametrize("demand", list(TlsDemand))
def test_each_demand_has_words(demand: str) -> None:
    words = timelinewords.demand(Attempt(tls_demand=demand))
    assert len(words) > len(demand)
    assert "_" not in words


def test_each_result_without_a_channel_has_words() -> None:
    # Of encryption that was never come to nothing can be said.
    without = set(TlsResult) - {TlsResult.UNVERIFIED, TlsResult.VERIFIED, TlsResult.UNKNOWN}
    assert set(timelinewords.IN_CLEAR) == set(timelinewords.NOT_SENT) == without


@pytest.mark.parametrize("scope", list(Scope))
@pytest.mark.parametrize("model", [Attempt, Report])
def test_each_scope_has_words(model: type[Attempt] | type[Report], scope: str) -> None:
    assert timelinewords.about(model(scope=scope)).startswith("about ")


def test_an_address_that_takes_no_mail_is_told_apart() -> None:
    hard, soft = (Attempt(scope=Scope.RECIPIENT, is_hard=hard) for hard in (True, False))
    assert timelinewords.about(hard) != timelinewords.about(soft)


def test_attempts_from_before_the_marks_say_nothing() -> None:
    old = Attempt(tls_demand="", tls_result="", kind="", scope="")
    told = (timelinewords.demand(old), timelinewords.about(old), timelinewords.kind(old))
    assert told == ("", "", "")
    assert timelinewords.kind(Attempt(kind="own")) == str(Route.Kind.OWN.label)
