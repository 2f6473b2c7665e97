# SPDX-License-Identifier: AGPL-3.0-or-later
"""What providers report of mail that they took, in the shapes that they document."""

from __future__ import annotations

import hashlib
import hmac
import json
from typing import Any, cast

from tests.testbed.esp import SIGNING

AT = 1_795_348_800  # seconds since 1970
Report = tuple[str, bytes]  # content type and body


def events(provider: str, kind: str, token: str, recipient: str, reply: str = "") -> Report:
    """Write a provider's request; `kind` is one of KINDS."""
    write = _EVENTS[provider.removesuffix("_eu").removesuffix("_us")]
    return "application/json", json.dumps(write(kind, token, recipient, reply)).encode()


def _mailgun_event(kind: str, token: str, recipient: str, reply: str) -> dict[str, Any]:
    event, severity = {
        "delivered": ("delivered", ""),
        "hard": ("failed", "permanent"),
        "soft": ("failed", "temporary"),
        "delayed": ("failed", "temporary"),
        "spam": ("complained", ""),
        "open": ("opened", ""),
        "listed": ("rejected", ""),
    }[kind]
    stamp = {"timestamp": str(AT), "token": "a" * 50}
    signed = hmac.new(SIGNING.encode(), f"{AT}{stamp['token']}".encode(), hashlib.sha256)
    return {
        "signature": stamp | {"signature": signed.hexdigest()},
        "event-data": {
            "event": event,
            "severity": severity,
            "timestamp": float(AT),
            "recipient": recipient,
            "user-variables": {"brevdue": token},
            "delivery-status": {"message": reply, "code": 550},
            "message": {"headers": {"message-id": "1@kunde.example", "to": recipient}},
        },
    }


def _postmark_event(kind: str, token: str, recipient: str, reply: str) -> dict[str, Any]:
    record, type_ = {
        "delivered": ("Delivery", ""),
        "hard": ("Bounce", "HardBounce"),
        "soft": ("Bounce", "SoftBounce"),
        "delayed": ("Bounce", "Transient"),
        "spam": ("SpamComplaint", "SpamComplaint"),
        "open": ("Open", ""),
        "listed": ("Bounce", "ManuallyDeactivated"),
    }[kind]
    whom = "Recipient" if kind in ("delivered", "open") else "Email"
    when = "DeliveredAt" if kind == "delivered" else "BouncedAt"
    return {
        "RecordType": record,
        "Type": type_,
        "MessageID": "0a129aee",
        whom: recipient,
        when: "2026-11-22T12:00:00Z",
        "Details": reply,
        "Metadata": {"brevdue": token},
    }


def _brevo_event(kind: str, token: str, recipient: str, reply: str) -> dict[str, Any]:
    event = {
        "delivered": "delivered",
        "hard": "hard_bounce",
        "soft": "soft_bounce",
        "delayed": "deferred",
        "spam": "spam",
        "open": "opened",
        "listed": "blocked",
    }[kind]
    return {
        "event": event,
        "email": recipient,
        "ts_epoch": AT * 1000,
        "message-id": "<2026@relay.brevo.example>",
        "X-Mailin-custom": json.dumps({"brevdue": token}),
        "reason": reply,
    }


def _mailjet_event(kind: str, token: str, recipient: str, reply: str) -> dict[str, Any]:
    event, more = {
        "delivered": ("sent", {}),
        "hard": ("bounce", {"hard_bounce": True, "error": "user unknown"}),
        "soft": ("bounce", {"hard_bounce": False, "error": "quota exceeded"}),
        "delayed": ("bounce", {"hard_bounce": False, "error": "greylisted"}),
        "spam": ("spam", {}),
        "open": ("open", {}),
        "listed": ("blocked", {"error": "preblocked"}),
    }[kind]
    return {
        "event": event,
        "time": AT,
        "email": recipient,
        "MessageID": 456,
        "Payload": json.dumps({"brevdue": token}),
        "smtp_reply": reply,
        **cast("dict[str, Any]", more),
    }


def _sparkpost_event(kind: str, token: str, recipient: str, reply: str) -> Any:
    type_, grade = {
        "delivered": ("delivery", None),
        "hard": ("bounce", "10"),
        "soft": ("bounce", "22"),
        "delayed": ("delay", "21"),
        "spam": ("spam_complaint", None),
        "open": ("open", None),
        "listed": ("policy_rejection", "25"),
    }[kind]
    event = {
        "type": type_,
        "timestamp": str(AT),
        "raw_rcpt_to": recipient,
        "rcpt_meta": {"brevdue": token},
        "raw_reason": reply,
        "transmission_id": "102258889940193104",
    }
    return [{"msys": {"message_event": event | ({"bounce_class": grade} if grade else {})}}]


_EVENTS: dict[str, Any] = {
    "mailgun": _mailgun_event,
    "postmark": _postmark_event,
    "brevo": _brevo_event,
    "mailjet": _mailjet_event,
    "sparkpost": _sparkpost_event,
}
KINDS = ("delivered", "hard", "soft", "delayed", "spam", "open", "listed")
