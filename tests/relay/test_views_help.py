# SPDX-License-Identifier: AGPL-3.0-or-later
"""Whoever follows the link in a reply finds the paragraph that it names."""

from __future__ import annotations

from html import escape

import pytest
from django.test import Client

from relay.smtp import answers
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


def test_every_paragraph_is_linked_by_a_reply(client: Client) -> None:
    text = client.get("/en/help/smtp").text
    anchors = {reply.anchor for reply in REPLIES if reply.anchor}
    assert text.count('<section class="card" id="') == len(anchors)


def test_page_is_danish_without_prefix(client: Client) -> None:
    assert "Hvad mailserveren svarer" in client.get("/help/smtp").text
    assert "What the mail server answers" in client.get("/en/help/smtp").text
