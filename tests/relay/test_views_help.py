# SPDX-License-Identifier: AGPL-3.0-or-later
"""Whoever follows the link in a reply finds the paragraph that it names."""

from __future__ import annotations

from html import escape

import pytest
from django.test import Client

from relay.smtp import answers, headers
from relay.smtp.answers import Answer

REPLIES = [value for value in vars(answers).values() if isinstance(value, Answer)]

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("path", ["/help/smtp", "/en/help/smtp"])
def test_every_reply_links_a_paragraph_that_is_there(client: Client, path: str) -> None:
    assert len(REPLIES) > 60
    text = client.get(path).text
    linked = [reply for reply in REPLIES if reply.anchor]
    assert [reply.anchor for reply in linked if f'id="{reply.anchor}"' not in text] == []
    assert [reply for reply in linked if escape(reply.sentence, quote=True) not in text] == []


def test_every_refusal_and_every_last_word_links_a_paragraph() -> None:
    wordless = {answers.BYE, answers.NO_RETURN_PATH, answers.REPORT_LATER}
    lacking = [
        reply for reply in REPLIES if not reply.anchor and (reply.code > 399 or reply.closes)
    ]
    assert set(lacking) == wordless


def test_every_reply_has_an_enhanced_code() -> None:
    """RFC 2034 §4: of the class of its code; a reply that asks for more has none."""
    bare = [reply for reply in REPLIES if not reply.enhanced]
    assert {reply.code // 100 for reply in bare} == {3}
    coded = [reply for reply in REPLIES if reply.enhanced]
    assert [r for r in coded if not r.enhanced.startswith(f"{r.code // 100}.")] == []


@pytest.mark.parametrize("path", ["/help/smtp", "/en/help/smtp"])
def test_page_says_what_a_receipt_holds(client: Client, path: str) -> None:
    text = client.get(path).text
    assert all(word in text for word in ("NOTIFY=SUCCESS", "RET=FULL", "ENVID", "ORCPT"))


@pytest.mark.parametrize("path", ["/help/smtp", "/en/help/smtp"])
def test_page_names_the_longest_line(client: Client, path: str) -> None:
    text = client.get(path).text
    assert text.count(f"{headers.LONGEST_LINE} octets") == (1 if path == "/help/smtp" else 2)


def test_every_paragraph_is_linked_by_a_reply(client: Client) -> None:
    text = client.get("/en/help/smtp").text
    anchors = {reply.anchor for reply in REPLIES if reply.anchor}
    assert text.count('<section class="card" id="') == len(anchors)


def test_page_is_danish_without_prefix(client: Client) -> None:
    assert "Hvad mailserveren svarer" in client.get("/help/smtp").text
    assert "What the mail server answers" in client.get("/en/help/smtp").text
