# SPDX-License-Identifier: AGPL-3.0-or-later
"""What a reported failure means: who is to blame, and whether the address is gone for good. Pure.

The judgement is that of a reply (replies.py): a report repeats what some server answered another.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from relay.smtp.replies import Reply, Scope, Stage, Verdict, judge
from relay.smtp.reports import Action, Reported


@dataclass(frozen=True, slots=True)
class Class:
    """``scope``: who is to blame. ``is_hard``: no mail will reach the address, now or later."""

    scope: Scope
    is_hard: bool


def classify(reported: Reported) -> Class:
    """Judge what a report says of one recipient.

    Where code and status differ, the code's class counts (RFC 3463 §2), and its words only where
    neither says enough. What gives no reason is nobody's fault: it must not count against anybody.
    """
    code = reported.code or _CODE_OF_CLASS.get(reported.enhanced[:2], 0)
    if not code and not reported.text:
        return Class(Scope.INFRASTRUCTURE, is_hard=False)
    reply = Reply(code or 550, (f"{reported.enhanced} {reported.text}".strip(),))
    judged = judge(reply, _stage(reported.text), reported.addresses, is_mx=True)
    is_final = reported.action is Action.FAILED and judged.verdict is Verdict.BOUNCED
    return Class(judged.scope, is_hard=is_final and judged.is_hard)


_CODE_OF_CLASS = {"5.": 550, "4.": 450, "2.": 250}
# Postfix: "in reply to end of DATA command"; Exim: "after RCPT TO:<…>"; Sendmail: ">>> DATA".
_SAID_TO = re.compile(
    r"(?:in reply to|after|>>>|response to)\s+"
    r"(end of data|rcpt|mail|data|ehlo|helo|initial|starttls)",
    re.IGNORECASE,
)
_STAGES = {
    "end of data": Stage.DOT,
    "rcpt": Stage.RCPT,
    "mail": Stage.MAIL,
    "data": Stage.DATA,
    "ehlo": Stage.EHLO,
    "helo": Stage.EHLO,
    "initial": Stage.GREETING,
    "starttls": Stage.STARTTLS,
}


def _stage(text: str) -> Stage:
    """Return where in the dialogue the reply came, as far as the report tells."""
    said = _SAID_TO.search(text)
    return _STAGES[said[1].lower()] if said else Stage.RCPT
