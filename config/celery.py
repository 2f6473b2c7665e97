# SPDX-License-Identifier: AGPL-3.0-or-later
"""The Celery application with the whole beat table. Beat itself has no database login."""

from __future__ import annotations

import logging.config
import os
from typing import Any

from celery import Celery
from celery.schedules import crontab
from celery.signals import setup_logging
from django.conf import settings

from config import broker

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

broker.install()


@setup_logging.connect
def _log_as_settings_say(**_kwargs: Any) -> None:
    """Celery sets no handler, level or form of its own: LOG_LEVEL holds in every process."""
    logging.config.dictConfig(settings.LOGGING)


app = Celery("brevdue")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.conf.update(
    timezone="UTC",
    task_acks_late=True,
    task_ignore_result=True,
    task_reject_on_worker_lost=True,
    worker_prefetch_multiplier=1,
    broker_connection_retry_on_startup=True,
    broker_connection_max_retries=None,  # the default gives up, and the process ends
    task_default_queue="worker",
    task_routes={
        "relay.deliver": {"queue": "delivery"},
        "relay.close_hour_keys": {"queue": "delivery"},
        "relay.take_events": {"queue": "delivery"},
    },
    beat_schedule={
        "own-mails": {
            "task": "accounts.send_mails",
            "schedule": 5.0,
            "options": {"expires": 5},
        },
        "agreements": {
            "task": "dpa.countersign",
            "schedule": 5.0,
            "options": {"expires": 5},
        },
        "audit-anchor": {"task": "accounts.anchor_audit", "schedule": crontab(hour=1, minute=7)},
        # Shifts find each other's successors; beat only brings back what died. Surplus ones leave.
        "shift": {"task": "relay.deliver", "schedule": 2.0, "options": {"expires": 2}},
        "hour-keys": {
            "task": "relay.close_hour_keys",
            "schedule": 300.0,
            "options": {"expires": 300},
        },
        "hour-keys-forgotten": {
            "task": "relay.forget_hour_keys",
            "schedule": crontab(minute=13),
            "options": {"expires": 3600},
        },
        # Days of the log among others: they are made ahead and dropped by the hour.
        "retention-hourly": {
            "task": "gdpr.forget_hourly",
            "schedule": crontab(minute=3),
            "options": {"expires": 3600},
        },
        "retention-nightly": {
            "task": "gdpr.forget_nightly",
            "schedule": crontab(hour=1, minute=37),
            "options": {"expires": 12 * 3600},
        },
        "seal": {
            "task": "gdpr.try_seal",
            "schedule": crontab(minute=23),
            "options": {"expires": 3600},
        },
        "erasures": {
            "task": "gdpr.start_erasures",
            "schedule": 60.0,
            "options": {"expires": 60},
        },
        "letters": {
            "task": "gdpr.seal_letters",
            "schedule": 10.0,
            "options": {"expires": 10},
        },
        "enquiries": {
            "task": "gdpr.pass_on_enquiries",
            "schedule": 60.0,
            "options": {"expires": 60},
        },
        "address-erasures": {
            "task": "gdpr.start_address_erasures",
            "schedule": 60.0,
            "options": {"expires": 60},
        },
        # After what goes by its own period.
        "held-rows": {"task": "gdpr.release_held", "schedule": crontab(hour=2, minute=7)},
        "erased-people": {"task": "gdpr.probe_erasures", "schedule": crontab(hour=2, minute=17)},
        "content-left-over": {
            "task": "relay.reap_content",
            "schedule": 600.0,
            "options": {"expires": 600},
        },
        "sweep": {"task": "relay.sweep", "schedule": 60.0, "options": {"expires": 60}},
        "domains": {
            "task": "relay.recheck_domains",
            "schedule": 300.0,
            "options": {"expires": 300},
        },
        "destinations": {
            "task": "relay.forget_destinations",
            "schedule": crontab(hour=3, minute=7),
            "options": {"expires": 12 * 3600},
        },
        "route-pauses": {
            "task": "relay.tell_pauses",
            "schedule": 30.0,
            "options": {"expires": 30},
        },
        "esp-events": {
            "task": "relay.take_events",
            "schedule": 10.0,
            "options": {"expires": 10},
        },
        "bounce-rates": {
            "task": "relay.look_at_bounces",
            "schedule": 30.0,
            "options": {"expires": 30},
        },
        "statistics": {
            "task": "relay.roll_counts",
            "schedule": crontab(minute=17),
            "options": {"expires": 3600},
        },
        "suppressions": {
            "task": "relay.forget_suppressed",
            "schedule": crontab(minute=27),
            "options": {"expires": 3600},
        },
        "promises": {
            "task": "config.check_promises",
            "schedule": crontab(minute=53),
            "options": {"expires": 3600},
        },
        "packages": {"task": "gdpr.pack", "schedule": 60.0, "options": {"expires": 60}},
        "recipients-told": {
            "task": "gdpr.tell_recipients",
            "schedule": 300.0,
            "options": {"expires": 300},
        },
        "packages-end": {
            "task": "gdpr.destroy_packages",
            "schedule": 300.0,
            "options": {"expires": 300},
        },
        "requests": {
            "task": "gdpr.take_further",
            "schedule": 60.0,
            "options": {"expires": 60},
        },
        "request-clocks": {
            "task": "gdpr.escalate",
            "schedule": crontab(minute=13),
            "options": {"expires": 3600},
        },
        "heartbeat": {"task": "relay.heartbeat", "schedule": 60.0, "options": {"expires": 60}},
    },
)
app.autodiscover_tasks(["accounts", "relay", "gdpr", "dpa", "config"])
