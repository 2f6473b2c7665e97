# SPDX-License-Identifier: AGPL-3.0-or-later
"""Django's way to a mail server, also for addresses with letters beyond ASCII before the @."""

from __future__ import annotations

from email import message_from_bytes, policy
from email.message import Message

from django.core.mail import EmailMessage
from django.core.mail.backends.smtp import EmailBackend


class Smtp(EmailBackend):
    """Sends such mail by SMTPUTF8 (RFC 6531), and not at all where the server does not offer it.

    Django writes such a name as encoded words (RFC 2047): that is the address of somebody else.
    """

    def _send(self, email_message: EmailMessage) -> bool:
        if all(address.rpartition("@")[0].isascii() for address in email_message.recipients()):
            return bool(super()._send(email_message))  # type: ignore[misc] # not in the stubs
        assert self.connection is not None, "opened by who sends"
        self.connection.send_message(_unencoded(email_message))
        return True


def _unencoded(email_message: EmailMessage) -> Message:
    message = message_from_bytes(email_message.message().as_bytes(), policy=policy.SMTP)
    message.replace_header("To", ", ".join(email_message.to))
    return message
