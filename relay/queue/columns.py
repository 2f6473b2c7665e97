# SPDX-License-Identifier: AGPL-3.0-or-later
"""Rows turned into the arrays that one statement takes for a whole batch."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Any

from accounts.vault import SealedContent
from relay.queue.entries import Accepted
from relay.smtp.addresses import host_name

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
        "ciphertext require_tls",
        (_message_row(message, content) for message, content, _ in sealed),
    )


def _message_row(message: Accepted, content: SealedContent) -> tuple[Any, ...]:
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
    )


def _turn(domain: str) -> str:
    """Return the A-label, by which routes and holds know a domain; what is ASCII is one."""
    return domain if domain.isascii() else host_name(domain)


def delivery_columns(sealed: Sequence[Sealed]) -> dict[str, list[Any]]:
    return columns(
        "accepted_at message organisation position domain logged recipient notify orcpt expires_at",
        (
            (
                message.accepted_at,
                message.id,
                message.organisation_id,
                position,
                # No route serves the sandbox, so none that is paused may hold it up.
                "" if message.is_sandbox else _turn(message.domain.lower()),
                recipient.address.lower(),
                recipient.address,
                recipient.notify,
                recipient.orcpt,
                message.accepted_at + lifetime,
            )
            for message, _, lifetime in sealed
            for position, recipient in enumerate(message.envelope.recipients)
        ),
        prefix="d_",
    )
