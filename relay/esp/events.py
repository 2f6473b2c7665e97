# SPDX-License-Identifier: AGPL-3.0-or-later
"""What providers report of mail that they took, in one form, and sealed until it is in the log.

django-anymail reads the requests. Its signal is not sent: a signal would reach whoever listens,
without the organisation that the report belongs to.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, cast
from uuid import UUID

from anymail.exceptions import AnymailConfigurationError, AnymailWebhookValidationFailure
from anymail.signals import EventType, RejectReason
from django.http import HttpRequest

from accounts import vault
from relay.esp.composing import METADATA, TOKEN
from relay.esp.providers import Keys, Provider
from relay.smtp.replies import Scope, bounded_text

PURPOSE = "esp-event"
MOST_EVENTS = 10_000  # of one request
LONGEST_ADDRESS = 320
LONGEST_TEXT = 500

# Of Report.Kind. Opens and clicks say what a person does; they are not read, nor asked for.
_KINDS = {
    EventType.DELIVERED: "delivered",
    EventType.DEFERRED: "delayed",
    EventType.BOUNCED: "failed",
    EventType.REJECTED: "failed",
    EventType.FAILED: "failed",
    EventType.COMPLAINED: "complained",
}
_REPLY = re.compile(r"(?<![\d.])([245]\d\d)(?:[ -]+([245]\.\d{1,3}\.\d{1,3}))?(?=[\s-]|$)")
_STATUS = re.compile(r"(?<![\d.])([245]\.\d{1,3}\.\d{1,3})(?=[\s:;)-]|$)")


class Untrusted(Exception):
    """The request is not signed by who it says it comes from."""


class Unreadable(Exception):
    """The request is none that this provider makes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """What became of one mail to one recipient after the provider had taken it.

    `token` is the local part of a return path (returnpaths.py), or what claims to be one. `kind`:
    of Report.Kind. `scope` and `is_hard` are the provider's judgement, `is_hard` None where it has
    none. `text` is the other server's and may hold addresses, or else (`is_quoted` False) the
    provider's own label. `at` is when it happened, aware, as ISO 8601.
    """

    token: str
    recipient: str
    kind: str
    scope: str
    is_hard: bool | None
    code: int = 0
    enhanced: str = ""
    text: str = ""
    is_quoted: bool = True
    at: str = ""


def read(provider: Provider, request: HttpRequest, keys: Keys) -> list[Event]:
    """Return what a request reports about mail of ours. Raises Untrusted or Unreadable."""
    try:
        found = _raw(provider, request, keys)
        return [event for raw in found[:MOST_EVENTS] for event in _events(provider, raw)]
    except AnymailWebhookValidationFailure:
        raise Untrusted from None
    except (AnymailConfigurationError, ValueError, TypeError, LookupError, AttributeError,
            OSError, OverflowError, RecursionError):  # fmt: skip
        # Whatever a request can hold; the reader is written for what providers send.
        raise Unreadable from None


def _raw(provider: Provider, request: HttpRequest, keys: Keys) -> list[Any]:
    words = {"webhook_signing_key": keys.signing or keys.api} if provider.signs_events else {}
    reader = provider.reader(**words)
    if keys.signing:
        reader.run_validators(request)
    return cast("list[Any]", reader.parse_events(request))


def _events(provider: Provider, raw: Any) -> Iterator[Event]:
    kind = _kind(provider, raw)
    token = (raw.metadata or {}).get(METADATA, "")
    if kind is None or not isinstance(token, str) or not TOKEN.fullmatch(token):
        return
    quoted = raw.mta_response or provider.words(raw.esp_event)
    text = bounded_text(str(quoted or raw.description or ""))[:LONGEST_TEXT]
    code, enhanced = _codes(text)
    yield Event(
        token=token,
        recipient=str(raw.recipient or "")[:LONGEST_ADDRESS],
        kind=kind,
        scope=str(_scope(raw, kind)),
        is_hard=_is_hard(provider, raw) if kind == "failed" else False,
        code=code,
        enhanced=enhanced,
        text=text,
        is_quoted=bool(quoted),
        at=_moment(raw.timestamp),
    )


def _kind(provider: Provider, raw: Any) -> str | None:
    """A filter that refuses mail is no person who complains of it."""
    kind = _KINDS.get(raw.event_type)
    return "failed" if kind == "complained" and provider.is_filter(raw.esp_event) else kind


def _is_hard(provider: Provider, raw: Any) -> bool | None:
    """Whether the provider says so, and gives a reason that is about the address."""
    found = provider.is_hard(raw.esp_event)
    is_of_address = raw.reject_reason in (RejectReason.BOUNCED, RejectReason.INVALID)
    return is_of_address if found else found


def _scope(raw: Any, kind: str) -> Scope:
    """Say who is to blame, where the other server's words do not."""
    if raw.event_type == EventType.REJECTED and raw.reject_reason != RejectReason.INVALID:
        return Scope.POLICY  # it is on the provider's own list, whatever put it there
    if raw.event_type == EventType.FAILED or kind == "delayed":
        return Scope.INFRASTRUCTURE
    if raw.reject_reason in (RejectReason.BLOCKED, RejectReason.SPAM) and kind == "failed":
        return Scope.POLICY
    return Scope.RECIPIENT


def _codes(text: str) -> tuple[int, str]:
    """Return the reply code and the enhanced one that a text holds; 0 and "" for none."""
    reply, status = _REPLY.search(text), _STATUS.search(text)
    code = int(reply[1]) if reply else 0
    enhanced = (reply[2] if reply and reply[2] else "") or (status[1] if status else "")
    return code, enhanced


def _moment(at: object) -> str:
    return at.astimezone(UTC).isoformat() if isinstance(at, datetime) and at.tzinfo else ""


def seal(events: Iterable[Event], organisation_id: UUID) -> bytes:
    """Return what a row keeps of the events. Open the organisation's context first."""
    octets = json.dumps([asdict(event) for event in events], ensure_ascii=False).encode()
    return vault.seal(PURPOSE, octets, organisation_id=organisation_id)


def unseal(sealed: bytes, organisation_id: UUID) -> list[Event]:
    """Return what `seal` wrote. Raises VaultError."""
    octets = vault.unseal(PURPOSE, sealed, organisation_id=organisation_id)
    return [Event(**one) for one in json.loads(octets)]
