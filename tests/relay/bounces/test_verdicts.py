# SPDX-License-Identifier: AGPL-3.0-or-later
"""One judgement of words, wherever they come from: the list gets nobody who may be there."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from relay import esptaking
from relay.esp import events
from relay.smtp.bounces import classify
from relay.smtp.replies import Reply, Scope, Stage, judge
from relay.smtp.reports import Action, Reported, read
from tests.relay.bounces.letters import group, report
from tests.relay.bounces.verdicts import NOBODY_THERE, PERHAPS_THERE

BO = "bo.larsen@modtager.example"
Channel = Callable[[str], bool]


def by_reply(line: str) -> bool:
    return judge(Reply(int(line[:3]), (line[4:],)), Stage.RCPT, [BO]).is_hard


def by_report(line: str, status: str = "5.0.0") -> bool:
    content = report(group(BO, status=status, said=f"smtp; {line}"))
    (found,) = read(content, has_sender=False)
    return classify(found).is_hard


def by_misleading_report(line: str) -> bool:
    return by_report(line, status="5.1.1")


def by_provider(line: str) -> bool:
    code, enhanced = events._codes(line)
    told = events.Event(
        token="",
        recipient=BO,
        kind="failed",
        scope="recipient",
        is_hard=True,
        code=code,
        enhanced=enhanced,
        text=line,
    )
    return esptaking._judged(told).is_hard


CHANNELS = (by_reply, by_report, by_misleading_report, by_provider)


@pytest.mark.behaviour(42)
@pytest.mark.parametrize("is_hard", CHANNELS)
@pytest.mark.parametrize("line", PERHAPS_THERE)
def test_words_of_anything_else_suppress_nobody(line: str, is_hard: Channel) -> None:
    assert not is_hard(line)


@pytest.mark.parametrize("is_hard", CHANNELS)
@pytest.mark.parametrize("line", NOBODY_THERE)
def test_words_by_which_nobody_is_there_suppress(line: str, is_hard: Channel) -> None:
    assert is_hard(line)


@pytest.mark.behaviour(42)
@pytest.mark.parametrize(
    ("line", "is_hard"),
    [
        ("550 <bo.larsen@mx.modtager.example>: user unknown", True),
        ("550 bo.larsen@elsewhere.example: user unknown", False),
        ("550 5.1.1 <bo.larsen@modtager.example>", True),
        ("550 5.1.1 <post@kunde.example>", False),
    ],
)
def test_words_about_somebody_else_are_not_about_the_recipient(line: str, is_hard: bool) -> None:
    assert by_reply(line) is is_hard


def test_after_the_mail_words_alone_count_where_they_name_the_recipient() -> None:
    def at_dot(line: str) -> bool:
        return judge(Reply(554, (line,)), Stage.DOT, [BO]).is_hard

    assert at_dot(f"This user doesn't have a modtager.example account ({BO}) [0]")
    assert not at_dot("This user doesn't have a modtager.example account")


@pytest.mark.behaviour(42)
def test_what_people_are_told_counts_where_machines_are_told_no_reason() -> None:
    said = f"<{BO}>: host mx said: 552 5.2.2 over quota"
    fields = group(BO, status="5.1.1").rpartition("\r\n")[0]  # without what the server said
    (found,) = read(report(fields, words=said), has_sender=False)
    assert (found.code, found.enhanced) == (552, "5.2.2")
    assert not classify(found).is_hard


def test_report_that_tells_nothing_but_the_status_is_believed() -> None:
    found = Reported(action=Action.FAILED, addresses=(BO,), enhanced="5.1.1")
    assert classify(found).is_hard
    assert classify(found).scope is Scope.RECIPIENT
