# SPDX-License-Identifier: AGPL-3.0-or-later
"""Work of the worker (role `duty`): own mails and the audit trail's anchors."""

from __future__ import annotations

from typing import Any

from celery import shared_task
from celery.signals import worker_init
from django.core.exceptions import ImproperlyConfigured

from accounts import alerts, audit, checks, clock, emails


@worker_init.connect
def refuse_unsafe_ground(**kwargs: Any) -> None:
    """End the worker before it takes work, whatever its role: Celery has no other way in."""
    try:
        checks.refuse_unsafe_database()
        checks.refuse_wrong_clock()
    except ImproperlyConfigured as error:
        # Celery logs an exception of a receiver and goes on; this is none.
        raise SystemExit(str(error)) from error


@shared_task(name="accounts.send_mails")
def send_mails() -> None:
    now = clock.now()
    emails.send_due(now)
    if emails.drop_undeliverable(now):
        alerts.raise_alert("own-mail-undeliverable")


@shared_task(name="accounts.anchor_audit")
def anchor_audit() -> None:
    """Nightly: verify and anchor the audit trail, in this order."""
    now = clock.now()
    if audit.verify():
        alerts.raise_alert("audit-trail-broken")
    audit.anchor_heads(now)
