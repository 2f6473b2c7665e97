# SPDX-License-Identifier: AGPL-3.0-or-later
"""Rows turned into the arrays that one statement takes for a whole batch."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Any

from accounts.vault import SealedContent
from relay.queue.entries import Accepted
from relay.smtp.addresses import host_name
from relay.smtp.envelope import Recipient

# The message, its sealed content, and how long it may wait.
Sealed = tuple[Accepted, SealedContent, timedelta]


def columns(names: str, rows: Iterable[Iterable[Any]], prefix: str = "") -> dict[str, list[Any]]:
    """Turn rows into one list for each of the space-separated names."""
    return {
        prefix + name: list(column)
        for name, column in zip(names.split(), zip(*rows, strict=True), strict=True)
    }


def lists(names: str, rows: Sequence[Iterable[Any]]) -> dict[str, list[Any]]:
    """Like `columns`, also of no rows at all."""
    return columns(names, rows) if rows else {name: [] for name in names.split()}


def message_columns(sealed: Sequence[Sealed]) -> dict[str, list[Any]]:
    return columns(
        "accepted_at id organisation credential is_notification is_sandbox tls_version tls_cipher "
        "size logged_sender sender recipients body smtputf8 ret envid wrapped_key "
        "ciphertext require_tls tls_optional domain profile subject header header_hash",
        (_message_row(message, content) for message, content, _ in sealed),
    )


def _message_row(message: Accepted, content: SealedContent) -> tuple[Any, ...]:
    logged = message.logged
    return (
        message.accepted_at,
        message.id,
        message.organisation_id,
        message.credential_id,
        message.is_notification,
        message.is_sandbox,
        message.tls_version,
        message.tls_cipher,
        len(message.content),
        # The log is searched in lower case; sending needs the case as given.
        message.envelope.sender.lower(),
        message.envelope.sender,
        len(message.envelope.recipients),
        message.envelope.body,
        message.envelope.smtputf8,
        message.envelope.ret,
        message.envelope.envid,
        content.wrapped_key,
        content.ciphertext,
        message.require_tls,
        message.tls_optional,
        _turn(message),
        logged.profile,
        logged.subject,
        logged.header,
        logged.header_hash,
    )


def _turn(message: Accepted) -> str:
    """Return the A-label, by which routes and holds know a domain; what is ASCII is one."""
    if message.is_sandbox:
        # No route serves the sandbox, so none that is paused may hold it up.
        return ""
    domain = message.domain.lower()
    return domain if domain.isascii() else host_name(domain)


def _name(message: Accepted, position: int) -> str:
    return message.logged.names[position] if message.logged.names else ""


def _tells_failure(recipient: Recipient) -> bool:
    """RFC 3461 §4.1: without the word a sender is told of failures."""
    return not recipient.notify or "FAILURE" in recipient.notify.upper()


def delivery_columns(sealed: Sequence[Sealed]) -> dict[str, list[Any]]:
    return columns(
        "accepted_at message organisation position domain logged recipient notify orcpt expires_at"
        " name tells_failure",
        (
            (
                message.accepted_at,
                message.id,
                message.organisation_id,
                position,
                _turn(message),
                recipient.address.lower(),
                recipient.address,
                recipient.notify,
                recipient.orcpt,
                message.accepted_at + lifetime,
                _name(message, position),
                _tells_failure(recipient),
            )
            for message, _, lifetime in sealed
            for position, recipient in enumerate(message.envelope.recipients)
        ),
        prefix="d_",
    )
