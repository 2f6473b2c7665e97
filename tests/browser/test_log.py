# SPDX-License-Identifier: AGPL-3.0-or-later
"""The log with everything in it that there can be, and the choice of what it holds."""

from __future__ import annotations

import pytest

from accounts.models import Organisation, User
from relay.models import Delivery, LogChoice, Message, MessageHeader
from tests import build
from tests.browser.matrix import EVERY_LOOK
from tests.browser.window import Window
from tests.relay.test_log import NOW, message
from tests.relay.test_views_log import attempt, finish, reported

HEADER = (
    "From: Post <post@due.example>\nTo: Erik Holm <erik@modtager.example>\n"
    "Subject: Din faktura for november\nMIME-Version: 1.0\n"
    "Content-Type: multipart/alternative; boundary=" + "x" * 60 + "\n"
)


def _filled(organisation: Organisation) -> Message:
    """Mail that came back, mail that may be twice, and mail that waits."""
    made = message(organisation, "erik@modtager.example", "ida@modtager.example")
    server = {"remote_host": "mx.modtager.example", "remote_address": "192.0.2.7"}
    attempt(
        made, 1, "retry", **server, kind="direct", tls_demand="sts", tls_result="failed",
        scope="infrastructure", code=0, reply="certificate has expired",
    )  # fmt: skip
    attempt(
        made, 2, "delivered", **server, kind="direct", tls_demand="may", tls_result="not_offered",
        code=250, reply="2.0.0 taken as 4bX7Qk1z9Jz",
    )  # fmt: skip
    reported(made, 1, "delayed", "4.4.1 wait")
    reported(made, 2, "failed", "5.1.1 no such user", scope="recipient", is_hard=True)
    finish(made, "bounced", final_reason="returned")
    twice = message(organisation, "kaj@modtager.example", ago=60)
    finish(twice, "delivered")
    message(organisation, *(f"r{n}@modtager.example" for n in range(5)), ago=120)
    with build.as_owner():
        Delivery.objects.filter(message_id=twice.id).update(possible_duplicate=True)
        Delivery.objects.filter(message_id=made.id, position=0).update(display_name="Erik Holm")
        Message.objects.filter(id=made.id).update(
            profile="headers", subject="Din faktura for november"
        )
        of = {"organisation": organisation, "accepted_at": made.accepted_at}
        MessageHeader.objects.create(**of, message_id=made.id, header=HEADER)
        LogChoice.objects.create(
            organisation=organisation, profile="headers", days=14, changed_at=NOW
        )
    return made


@pytest.mark.parametrize("look", EVERY_LOOK)
def test_log_with_everything_in_it(window: Window, organisation: Organisation, anna: User) -> None:
    made = _filled(organisation)
    window.sign_in(anna, organisation)
    window.open("/log/")
    window.page.locator("details.search-more").evaluate("one => one.open = true")
    window.check("log-filled")
    window.open(f"/log/{made.id}/")
    window.page.locator("details.snippet").evaluate("one => one.open = true")
    window.check("message-filled")
    window.open("/log/settings/")
    window.page.locator('[name="days"]').fill("3")
    window.page.locator('form.form button[type="submit"]').click()
    window.page.locator('[name="agreed"]').wait_for()
    window.check("log-settings-asking")
