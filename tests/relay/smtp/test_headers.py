# SPDX-License-Identifier: AGPL-3.0-or-later
"""The header scan and the edits: bytes in, the same bytes out but for whole fields."""

from __future__ import annotations

import time
import tracemalloc
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relay.smtp.headers import (
    LARGEST_HEADER,
    LONGEST_LINE,
    ContentError,
    Fault,
    Trace,
    check_lines,
    edit,
    scan,
)

TRACE = Trace(
    hostname="relay.example",
    queue_id="0190-1",
    at=datetime(2026, 11, 22, 5, 0, tzinfo=UTC),
    tls="TLSv1.3",
)
FROM = b"From: Anna <anna@firma.example>\r\n"
REST = FROM + b"Date: Sun, 22 Nov 2026 05:00:00 +0000\r\nMessage-ID: <1@firma.example>\r\n"
BODY = b"\r\nHello\r\n"

REFUSED = [
    (b"\r\nbody only\r\n", Fault.FROM_MISSING),
    (b"Subject: x\r\n" + BODY, Fault.FROM_MISSING),
    (FROM + b"FROM: boss@bank.example\r\n" + BODY, Fault.REPEATED),
    (FROM + FROM + BODY, Fault.REPEATED),
    (FROM + b"Sender: a@firma.example\r\nsender: b@firma.example\r\n" + BODY, Fault.REPEATED),
    (FROM + b"Date: 1\r\nDate: 2\r\n" + BODY, Fault.REPEATED),
    (FROM + b"From : boss@bank.example\r\n" + BODY, Fault.HEADER_SYNTAX),
    (FROM + b"From\t: boss@bank.example\r\n" + BODY, Fault.HEADER_SYNTAX),
    (b" folded first\r\n" + FROM + BODY, Fault.HEADER_SYNTAX),
    (b"From anna@firma.example Sun Nov 22\r\n" + FROM + BODY, Fault.HEADER_SYNTAX),
    (FROM + b"no colon here\r\n" + BODY, Fault.HEADER_SYNTAX),
    (FROM + b": no name\r\n" + BODY, Fault.HEADER_SYNTAX),
    (FROM + "Fröm: boss@bank.example\r\n".encode() + BODY, Fault.HEADER_SYNTAX),
    (b"From: Staff: anna@firma.example;\r\n" + BODY, Fault.AUTHOR),
    (b"From:\r\n" + BODY, Fault.AUTHOR),
    (FROM + b"Sender: a@firma.example, b@firma.example\r\n" + BODY, Fault.AUTHOR),
    (FROM + b"Resent-From: =?utf-8?q?x=40y.example?=\r\n" + BODY, Fault.AUTHOR),
    (FROM + b"Received: by x\r\n" * 30 + BODY, Fault.LOOP),
    (FROM + b"X-A: 1\r\n" * 1_000 + BODY, Fault.HEADER_COUNT),
    (FROM + (b"X-A: " + b"a" * 60_000 + b"\r\n") * 5 + BODY, Fault.HEADER_SIZE),
]

LINES = [
    (b"a\nb\r\n", Fault.LINE_END),
    (b"a\rb\r\n", Fault.LINE_END),
    (b"a\r\n\n", Fault.LINE_END),
    (b"a\r\r\n", Fault.LINE_END),
    (b"a\n\r\n", Fault.LINE_END),
    (b"a\r", Fault.LINE_END),
    (b"a\0b\r\n", Fault.NUL),
    (b"a" * (LONGEST_LINE + 1) + b"\r\n", Fault.LONG_LINE),
    (b"ok\r\n" * 9 + b"a" * (LONGEST_LINE + 1) + b"\r\nok\r\n", Fault.LONG_LINE),
]


@pytest.mark.parametrize(("content", "fault"), REFUSED)
def test_header_is_refused(content, fault):
    with pytest.raises(ContentError) as caught:
        scan(content)
    assert caught.value.fault is fault


@pytest.mark.parametrize(("content", "fault"), LINES)
@pytest.mark.behaviour(1)
def test_lines_are_refused(content, fault):
    with pytest.raises(ContentError) as caught:
        check_lines(content)
    assert caught.value.fault is fault


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\r\n",
        b"a\r\n",
        b"a" * LONGEST_LINE + b"\r\n",
        (b"a" * LONGEST_LINE + b"\r\n") * 3,
        b"a\r\n" * 90_000,
    ],
)
def test_lines_within_the_bound_pass(content):
    check_lines(content)


@given(
    st.lists(st.sampled_from([b"\r", b"\n", b"\r\n", b"\0", b"a", b"."]), max_size=12).map(b"".join)
)
def test_only_crlf_passes(content):
    bare = content.replace(b"\r\n", b"")
    clean = not set(bare) & set(b"\r\n\0")
    try:
        check_lines(content)
    except ContentError:
        assert not clean
    else:
        assert clean


def test_every_author_and_sender_is_found():
    header = scan(
        b"From: a@one.example, B <b@two.example>\r\nSender: c@three.example\r\n"
        b"Resent-From: d@four.example\r\nResent-Sender: e@five.example\r\n"
        b"Resent-From: f@six.example\r\n" + BODY
    )
    assert [a.domain for a in header.authors] == [
        "one.example",
        "two.example",
        "four.example",
        "six.example",
    ]
    assert [a.domain for a in header.senders] == ["three.example", "five.example"]


def test_a_from_in_the_body_is_no_from():
    assert len(scan(FROM + BODY + b"From: boss@bank.example\r\n").authors) == 1


def test_message_without_body_is_read():
    assert scan(FROM).end == len(FROM)


@pytest.mark.behaviour(13)
def test_trace_and_missing_fields_are_put_in_front():
    content = FROM + BODY
    assert edit(content, scan(content), TRACE) == (
        b"Received: by relay.example with ESMTPSA (TLSv1.3)\r\n"
        b"\tid 0190-1; Sun, 22 Nov 2026 05:00:00 +0000\r\n"
        b"Date: Sun, 22 Nov 2026 05:00:00 +0000\r\n"
        b"Message-ID: <0190-1@relay.example>\r\n" + content
    )


def test_present_fields_are_left_alone():
    content = REST + BODY
    edited = edit(content, scan(content), TRACE)
    assert edited.startswith(b"Received: ")
    assert edited.endswith(content)
    assert edited.count(b"\r\n") == content.count(b"\r\n") + 2


@pytest.mark.parametrize(
    "field",
    [
        b"Bcc: erik@other.example\r\n",
        b"bcc:\r\n",
        b"BCC: erik@other.example,\r\n\tfolded@other.example\r\n",
        b"Resent-Bcc: erik@other.example\r\n",
        b"Return-Path: <x@other.example>\r\n",
        b"RELAY-Require-TLS: yes\r\n",
        b"Authentication-Results: relay.example; spf=pass\r\n",
        b"Authentication-Results:\r\n relay.example 1; spf=pass\r\n",
        b"Authentication-Results: Relay.Example; spf=pass\r\n",
        b'Authentication-Results: "relay.example"; spf=pass\r\n',
        b'Authentication-Results: "relay\\.example" 1; spf=pass\r\n',
        b"Authentication-Results: (x (y) \\) ;z) relay.example; spf=pass\r\n",
        b"Authentication-Results: relay.example(x)1; spf=pass\r\n",
        b"Authentication-Results: relay.example/1; spf=pass\r\n",
        b"Authentication-Results: relay.example.; spf=pass\r\n",
        b"Authentication-Results: (unfinished; spf=pass\r\n",
        b"Authentication-Results: ; spf=pass\r\n",
    ],
)
@pytest.mark.behaviour(12)
@pytest.mark.behaviour(18)
def test_field_that_does_not_travel_is_left_out(field):
    for content in (field + REST + BODY, REST + field + BODY, field + REST + field + BODY + field):
        header = scan(content, hostname=b"relay.example")
        kept = edit(content, header, TRACE).partition(b"+0000\r\n")[2]
        tail = field if content.endswith(field) else b""
        assert kept == REST + BODY + tail


def test_foreign_authentication_results_stay():
    content = REST + b"Authentication-Results: mx.other.example; spf=pass\r\n" + BODY
    assert edit(content, scan(content, hostname=b"relay.example"), TRACE).endswith(content)


@pytest.mark.parametrize(
    ("field", "asked"),
    [
        (b"", False),
        (b"RELAY-Require-TLS:  yes \r\n", True),
        (b"relay-require-tls:\r\n\tYES\r\n", True),
        (b"RELAY-Require-TLS: yes\r\n" * 2, True),
        (b"RELAY-Require-TLS-2: no\r\n", False),
        (b"X-RELAY-Require-TLS: yes\r\n", False),
    ],
)
def test_message_can_ask_for_tls(field, asked):
    assert scan(FROM + field + BODY).controls.require_tls is asked


@pytest.mark.behaviour(34)
@pytest.mark.parametrize(
    ("field", "waives"),
    [
        (b"", False),
        (b"TLS-Required: No\r\n", True),
        (b"tls-required:\r\n\tNO \r\n", True),
        (b"TLS-Required: Yes\r\n", False),
        (b"TLS-Required:\r\n", False),
        (b"TLS-Required: No, thank you\r\n", False),
        (b"X-TLS-Required: No\r\n", False),
    ],
)
def test_sender_can_waive_what_the_recipient_demands_and_the_field_travels_on(field, waives):
    content = FROM + field + BODY
    found = scan(content)
    assert (found.controls.tls_optional, found.controls.require_tls) == (waives, False)
    assert field in edit(content, found, TRACE)


@pytest.mark.behaviour(18)
@pytest.mark.parametrize(
    ("field", "asked"),
    [
        (b"", ""),
        (b"RELAY-Log: subject\r\n", "subject"),
        (b"relay-log:\r\n HEADERS \r\n", "headers"),
        (b"RELAY-Log: headers\r\nRELAY-Log: minimal\r\nRELAY-Log: subject\r\n", "minimal"),
    ],
)
def test_message_can_ask_for_a_thinner_log(field, asked):
    assert scan(FROM + field + BODY).controls.log == asked


@pytest.mark.behaviour(18)
@pytest.mark.parametrize(
    "field",
    [
        *(
            b"RELAY-Require-TLS:" + value + b"\r\n"
            for value in (b" no", b"", b" true", b" yes (really)", b" yes, no", b" yes yes")
        ),
        b"RELAY-Require-TLS: yes\r\nRELAY-Require-TLS: no\r\n",
        b"RELAY-Log: none\r\n",
        b"relay-log: full\r\n",
        b"RELAY-Log:\r\n",
        b"RELAY-Log: minimal\r\nRELAY-Log: everything\r\n",
        b"RELAY-Log: \xf8\r\n",
    ],
)
def test_control_field_that_loosens_or_is_unclear_is_refused(field):
    with pytest.raises(ContentError) as caught:
        scan(FROM + field + BODY)
    assert caught.value.fault is Fault.CONTROL


@pytest.mark.behaviour(17)
def test_twenty_nine_received_pass():
    assert scan(FROM + b"Received: by x\r\n" * 29 + BODY).received == 29


@pytest.mark.behaviour(17)
def test_thirty_received_are_a_loop():
    with pytest.raises(ContentError) as caught:
        scan(FROM + b"Received: by x\r\n" * 30 + BODY)
    assert caught.value.fault is Fault.LOOP


OWN = (
    b"Received: by relay.example with ESMTPSA (TLSv1.3)\r\n\tid 0190-1; Sun, 22 Nov 2026\r\n",
    b"received: from mx.other.example\r\n\tBY Relay.Example.; Sun, 22 Nov 2026\r\n",
)


@pytest.mark.behaviour(17)
@pytest.mark.parametrize("field", OWN)
def test_fourth_time_here_is_a_loop(field):
    assert scan(field * 3 + REST + BODY, hostname=b"relay.example").received_here == 3
    with pytest.raises(ContentError) as caught:
        scan(field * 4 + REST + BODY, hostname=b"relay.example")
    assert caught.value.fault is Fault.LOOP


@pytest.mark.behaviour(17)
@pytest.mark.parametrize(
    "field",
    [
        b"Received: by notrelay.example; Sun\r\n",
        b"Received: by relay.example.other.test; Sun\r\n",
        b"Received: from relay.example by mx.other.example; Sun\r\n",
        b"X-Received: by relay.example; Sun\r\n",
    ],
)
def test_received_by_another_is_no_mark_of_ours(field):
    assert scan(field * 9 + REST + BODY, hostname=b"relay.example").received_here == 0


def test_own_trace_is_known_again():
    once = edit(REST + BODY, scan(REST + BODY), TRACE)
    assert scan(once, hostname=TRACE.hostname.encode()).received_here == 1


@pytest.mark.behaviour(13)
def test_message_id_that_is_missing_is_made_under_the_relays_own_name():
    edited = edit(FROM + BODY, scan(FROM + BODY), TRACE)
    assert b"\r\nMessage-ID: <0190-1@relay.example>\r\n" in edited


@pytest.mark.behaviour(14)
def test_several_authors_need_no_sender_and_get_none():
    content = REST.replace(b">\r\n", b">, bo@firma.example\r\n", 1) + BODY
    header = scan(content)
    assert [str(one) for one in header.authors] == ["anna@firma.example", "bo@firma.example"]
    assert edit(content, header, TRACE).endswith(content)


@pytest.mark.behaviour(18)
def test_resent_fields_are_read_and_travel_on():
    resent = b"Resent-From: bo@firma.example\r\nResent-To: ida@other.example\r\n"
    header = scan(resent + REST + BODY)
    assert "bo@firma.example" in map(str, header.authors)
    assert edit(resent + REST + BODY, header, TRACE).endswith(resent + REST + BODY)


@pytest.mark.parametrize(
    "content",
    [
        b"X-A: 1\r\n" * 100_000 + BODY,
        FROM + b"X-A: " + b"a" * (LARGEST_HEADER * 2) + b"\r\n" + BODY,
        FROM + b"X-A: b" + b"\r\n c" * 80_000 + b"\r\n" + BODY,
        b'From: "' + b'"\\' * 60_000 + b"\r\n" + BODY,
        b"From: " + b"(" * 60_000 + b"\r\n" + BODY,
        b"From: " + b"=?utf-8?q?a?= " * 18_000 + b"<anna@firma.example>\r\n" + BODY,
        b"From: " + b"a," * 8_000 + b"\r\n" + BODY,
    ],
)
@pytest.mark.behaviour(16)
def test_hostile_header_is_refused_at_once(content):
    started = time.process_time()
    with pytest.raises(ContentError):
        scan(content)
    assert time.process_time() - started < 0.5


_NAMES = st.sampled_from(
    [b"From", b"Bcc", b"Subject", b"X-Mailer", b"Received", b"RELAY-Tag", b"Return-Path"]
)
_VALUES = st.sampled_from([b" anna@firma.example", b" x", b"", b" a\r\n b", b"\tc"])


@settings(deadline=None)
@given(st.lists(st.tuples(_NAMES, _VALUES), max_size=8), st.binary(max_size=40))
def test_edit_keeps_every_other_octet(fields, body):
    lines = [name + b":" + value + b"\r\n" for name, value in fields]
    content = b"".join(lines) + b"\r\n" + body
    try:
        header = scan(content)
    except ContentError:
        return
    kept = b"".join(line for line in lines if not line.startswith((b"Bcc", b"RELAY", b"Return")))
    assert edit(content, header, TRACE).endswith(kept + b"\r\n" + body)


def nested(levels: int) -> bytes:
    """Parts inside parts, alternately multiparts and attached messages."""
    return b"".join(
        b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n"
        b"Content-Type: message/rfc822\r\n\r\n" % (level, level)
        for level in range(levels)
    )


CYCLIC = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + b"--b\r\n--b--\r\n" * 100_000


@pytest.mark.behaviour(16)
@pytest.mark.parametrize("body", [nested(50_000), CYCLIC], ids=["deep", "cyclic"])
def test_parts_inside_parts_pass_unread(body):
    """Behaviour 16: their depth has no bound because nothing here follows it."""
    content = b"From: anna@firma.example\r\nMIME-Version: 1.0\r\n" + body
    tracemalloc.start()
    began = time.process_time()
    check_lines(content)
    header = scan(content)
    spent, (_, most) = time.process_time() - began, tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert edit(content, header, TRACE).endswith(content)
    assert most < 100_000
    assert spent < 5
