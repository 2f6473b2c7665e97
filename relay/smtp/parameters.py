# SPDX-License-Identifier: AGPL-3.0-or-later
"""Parameters of MAIL and RCPT (RFC 1870, 3461, 4954, 6152, 6531), read strictly."""

from __future__ import annotations

import re
from dataclasses import dataclass

from relay.smtp import answers
from relay.smtp.answers import Answer

# RFC 5321 §4.1.2: esmtp-value is printable and has no "="; RFC 6531 §3.3 allows more than ASCII.
_PARAMETER = re.compile(r"([A-Za-z0-9][A-Za-z0-9-]*)(?:=([!-<>-~\x80-\U0010ffff]+))?")
# RFC 3461 §4: hexadecimal pairs after "+", no "=".
_XTEXT = re.compile(r"(?:[!-*,-<>-~]|\+[0-9A-F]{2})+")
_ORCPT = re.compile(r"[A-Za-z0-9-]+;[!-<>-~\x80-\U0010ffff]+")
_SIZE = re.compile(r"[0-9]{1,20}")
_CONDITIONS = frozenset({"SUCCESS", "FAILURE", "DELAY"})
_LONGEST_ENVID, _LONGEST_ORCPT = 100, 500  # RFC 3461 §4.4 and §4.2, characters


class ParameterError(ValueError):
    """A parameter that is refused, with the reply for it."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.sentence)
        self.answer = answer


@dataclass(frozen=True, slots=True)
class MailParameters:
    """What may follow a reverse-path."""

    size: int = 0
    body: str = "7BIT"
    smtputf8: bool = False
    ret: str = ""
    envid: str = ""


_NOTHING = MailParameters()


def read_mail(text: str) -> MailParameters:
    """Parameters of MAIL. Raises ParameterError.

    `AUTH=` is accepted and not used: the credential answers for the message (RFC 4954 §5).
    """
    if not text:
        return _NOTHING
    given = _split(text, frozenset({"SIZE", "BODY", "SMTPUTF8", "RET", "ENVID", "AUTH"}))
    if given.get("SMTPUTF8"):
        raise ParameterError(answers.PARAMETER)
    return MailParameters(
        size=int(_matching(_SIZE, given, "SIZE", 20) or 0),
        body=_choice(given, "BODY", "7BIT", "8BITMIME") or "7BIT",
        smtputf8="SMTPUTF8" in given,
        ret=_choice(given, "RET", "FULL", "HDRS"),
        envid=_matching(_XTEXT, given, "ENVID", _LONGEST_ENVID),
    )


def read_rcpt(text: str) -> tuple[str, str]:
    """NOTIFY and ORCPT of RCPT, each "" when absent. Raises ParameterError."""
    if not text:
        return "", ""
    given = _split(text, frozenset({"NOTIFY", "ORCPT"}))
    return _notify(given), _matching(_ORCPT, given, "ORCPT", _LONGEST_ORCPT)


def _split(text: str, known: frozenset[str]) -> dict[str, str | None]:
    given: dict[str, str | None] = {}
    for word in text.split():
        found = _PARAMETER.fullmatch(word)
        if found is None:
            raise ParameterError(answers.PARAMETER)
        keyword = found[1].upper()
        if keyword not in known:
            raise ParameterError(answers.PARAMETER_UNKNOWN)
        if keyword in given:
            raise ParameterError(answers.PARAMETER)
        given[keyword] = found[2]
    return given


def _matching(
    pattern: re.Pattern[str], given: dict[str, str | None], keyword: str, longest: int
) -> str:
    if keyword not in given:
        return ""
    value = given[keyword] or ""
    if len(value) > longest or pattern.fullmatch(value) is None:
        raise ParameterError(answers.PARAMETER)
    return value


def _choice(given: dict[str, str | None], keyword: str, *values: str) -> str:
    if keyword not in given:
        return ""
    value = (given[keyword] or "").upper()
    if value not in values:
        raise ParameterError(answers.PARAMETER)
    return value


def _notify(given: dict[str, str | None]) -> str:
    if "NOTIFY" not in given:
        return ""
    value = (given["NOTIFY"] or "").upper()
    wanted = value.split(",")
    if value != "NEVER" and (not _CONDITIONS.issuperset(wanted) or len(set(wanted)) != len(wanted)):
        raise ParameterError(answers.PARAMETER)
    return value
