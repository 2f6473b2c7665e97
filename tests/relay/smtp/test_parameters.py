# SPDX-License-Identifier: AGPL-3.0-or-later
"""Parameters of MAIL and RCPT: what real clients send is taken, the rest is named."""

from __future__ import annotations

import pytest

from relay.smtp import answers
from relay.smtp.parameters import MailParameters, ParameterError, read_mail, read_rcpt


@pytest.mark.parametrize(
    ("text", "parameters"),
    [
        ("", MailParameters()),
        ("SIZE=1000", MailParameters(size=1000)),
        ("size=1 body=8bitmime", MailParameters(size=1, body="8BITMIME")),
        ("BODY=7BIT SMTPUTF8", MailParameters(smtputf8=True)),
        ("AUTH=<>", MailParameters()),
        ("AUTH=anna+40firma.example", MailParameters()),
        ("RET=HDRS ENVID=Mixed+2BCase", MailParameters(ret="HDRS", envid="Mixed+2BCase")),
        ("ret=full", MailParameters(ret="FULL")),
    ],
)
@pytest.mark.behaviour(10)
def test_mail_parameters_are_read(text, parameters):
    assert read_mail(text) == parameters


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("SIZE", answers.PARAMETER),
        ("SIZE=", answers.PARAMETER),
        ("SIZE=-1", answers.PARAMETER),
        ("SIZE=1x", answers.PARAMETER),
        ("SIZE=" + "9" * 21, answers.PARAMETER),
        ("SIZE=1 SIZE=2", answers.PARAMETER),
        ("BODY=BINARYMIME", answers.PARAMETER),
        ("SMTPUTF8=yes", answers.PARAMETER),
        ("RET=ALL", answers.PARAMETER),
        ("ENVID=" + "a" * 101, answers.PARAMETER),
        ("ENVID=a+2", answers.PARAMETER),
        ("A=B=C", answers.PARAMETER),
        ("-=1", answers.PARAMETER),
        ("REQUIRETLS", answers.PARAMETER_UNKNOWN),
        ("NOTIFY=NEVER", answers.PARAMETER_UNKNOWN),
    ],
)
def test_mail_parameters_are_refused(text, answer):
    with pytest.raises(ParameterError) as caught:
        read_mail(text)
    assert caught.value.answer is answer


@pytest.mark.parametrize(
    ("text", "notify", "orcpt"),
    [
        ("", "", ""),
        ("NOTIFY=NEVER", "NEVER", ""),
        ("notify=success,Failure", "SUCCESS,FAILURE", ""),
        ("NOTIFY=DELAY ORCPT=rfc822;E+2Bx@other.example", "DELAY", "rfc822;E+2Bx@other.example"),
    ],
)  # fmt: skip
def test_rcpt_parameters_are_read(text, notify, orcpt):
    assert read_rcpt(text) == (notify, orcpt)


@pytest.mark.parametrize(
    "text",
    ["NOTIFY", "NOTIFY=", "NOTIFY=NEVER,DELAY", "NOTIFY=DELAY,DELAY", "NOTIFY=NO", "ORCPT=erik",
     "ORCPT=rfc822;" + "a" * 500, "SIZE=1"],
)  # fmt: skip
def test_rcpt_parameters_are_refused(text):
    with pytest.raises(ParameterError):
        read_rcpt(text)
