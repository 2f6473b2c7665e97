# SPDX-License-Identifier: AGPL-3.0-or-later
"""The life of a signing key: it waits for its record, signs, is retired by the next one, goes.

A selector is never used again, so that nothing that was kept of an old record meets a new key.
"""

from __future__ import annotations

from base64 import b32encode
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import uuid4

from django.db import transaction
from django.db.models import Q
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from accounts import audit, clock, limits, vault
from accounts.limits import HOUR, Limit
from accounts.models import Membership
from accounts.refusals import Refused
from relay.models import DkimKey, DkimSecret, SendingDomain
from relay.records import THERE, Kind, Looks, Place
from relay.smtp import dkim
from relay.smtp.dkim import Algorithm, Secret
from relay.smtp.published import Finding

SECRET_PURPOSE = "dkim-key"  # noqa: S105 - the name of a purpose
# Between two looks that count as two: one name server may have the record before the others.
AGAIN = timedelta(minutes=10)
# A key signs on so long without its record: most such gaps are somebody's mistake with a zone.
GRACE = timedelta(hours=72)
# Of a retired key's record, while what was signed with it must still verify.
KEPT = dkim.VALID
# After this no process has a retired key any more (signing.FRESH_SECONDS).
SECRET_KEPT = timedelta(minutes=10)
YEARLY = timedelta(days=365)
MAKES = Limit("dkim-keys", ((10, HOUR),))


class KeysWait(Refused):
    text: Promise = _(
        "New keys wait already. Publish their records and have them checked, or remove them first."
    )


class KeySigns(Refused):
    text: Promise = _("This key signs. Stop it first, or let a new one take over.")


def new_secrets(*, by: Membership) -> list[Secret]:
    """Make one of each kind. Raises TooMany.

    Takes a part of a second, so no transaction should be open.
    """
    limits.check(MAKES, str(by.organisation_id))
    return [dkim.new_secret(algorithm) for algorithm in Algorithm]


def make(domain: SendingDomain, secrets: Iterable[Secret], *, by: Membership) -> list[DkimKey]:
    """Keep new keys of those kinds of which none waits. Raises KeysWait when all do."""
    waiting = set(_waiting(domain))
    made = [
        keep(domain, secret) for secret in secrets if dkim.algorithm_of(secret).value not in waiting
    ]
    if not made:
        raise KeysWait
    for key in made:
        audit.record(by.user, "key.made", key, ["selector"])
    return made


def _waiting(domain: SendingDomain) -> Iterable[str]:
    rows = DkimKey.objects.for_organisation(domain.organisation_id).filter(domain=domain)
    return rows.filter(signs_since=None, retired_at=None).values_list("algorithm", flat=True)


def keep(domain: SendingDomain, secret: Secret) -> DkimKey:
    """Write a key that waits, its private half sealed; open the organisation's context first."""
    organisation_id, key_id = domain.organisation_id, uuid4()
    key = DkimKey(
        id=key_id,
        organisation_id=organisation_id,
        domain=domain,
        selector="bd" + b32encode(key_id.bytes[:5]).decode().lower(),
        algorithm=dkim.algorithm_of(secret),
        public=dkim.public_text(secret),
        created_at=clock.now(),
    )
    key.save(force_insert=True)
    sealed = vault.seal(SECRET_PURPOSE, dkim.written(secret), organisation_id=organisation_id)
    DkimSecret(key=key, organisation_id=organisation_id, sealed=sealed).save(force_insert=True)
    return key


def retire(key: DkimKey, *, by: Membership) -> None:
    """Sign no more with this key, within a minute everywhere; its record stays for KEPT."""
    if key.signs_since is not None and key.retired_at is None:
        key.retired_at = clock.now()
        key.save(update_fields=["retired_at"])
        audit.record(by.user, "key.ended", key, ["retired_at"])


def remove(key: DkimKey, *, by: Membership) -> None:
    """Forget a key and its private half. Raises KeySigns."""
    if signs(key):
        raise KeySigns
    with transaction.atomic():
        audit.record(by.user, "key.removed", key)
        key.delete()


def signs(key: DkimKey) -> bool:
    """Whether mail is signed with it now."""
    return key.signs_since is not None and key.retired_at is None


def forget_secrets(now: datetime) -> int:
    """Destroy the private halves of retired keys, across organisations (role duty)."""
    retired = DkimKey.objects.filter(retired_at__lte=now - SECRET_KEPT)
    return DkimSecret.objects.filter(key__in=retired).delete()[0]


@dataclass(slots=True)
class Changes:
    """Keys that began to sign, and keys that sign no more, by what was seen of their records."""

    started: list[DkimKey] = field(default_factory=list)
    stopped: list[DkimKey] = field(default_factory=list)


def settle(domain: SendingDomain, looks: Looks, now: datetime, *, is_asked: bool) -> Changes:
    """Let keys begin and stop by what was seen of their records, which is written already.

    `is_asked`: a person asked for the look. Call it where the domain's row is held.
    """
    keys = domain.keys.filter(retired_at=None).order_by("created_at", "id")
    found = {row.key_id: row.found_at for row in domain.records.filter(kind=Kind.DKIM)}
    changes = Changes()
    for key in keys:
        seen = looks.get(Place(Kind.DKIM, key.id))
        if seen is None:
            continue
        if key.signs_since is None:
            if _begins(key, seen.finding, now, is_asked=is_asked):
                changes.started.append(key)
        elif _stops(key, seen.finding, now - (found.get(key.id) or key.signs_since)):
            changes.stopped.append(key)
    return changes


def _stops(key: DkimKey, finding: Finding, missing: timedelta) -> bool:
    """Unsigned mail is doubted, mail with a signature that nobody can verify is doubted more."""
    if finding in THERE or missing < GRACE:
        return False
    key.signs_since = key.seen_at = None
    key.save(update_fields=["signs_since", "seen_at"])
    return True


def _begins(key: DkimKey, finding: Finding, now: datetime, *, is_asked: bool) -> bool:
    """Sign with a key whose record was seen by two looks, or by a person's one."""
    if finding is not Finding.FOUND:
        if finding is not Finding.UNREACHABLE and key.seen_at is not None:
            key.seen_at = None
            key.save(update_fields=["seen_at"])
        return False
    if not is_asked and (key.seen_at is None or now - key.seen_at < AGAIN):
        key.seen_at = key.seen_at or now
        key.save(update_fields=["seen_at"])
        return False
    _take_over(key, now)
    return True


def _take_over(key: DkimKey, now: datetime) -> None:
    others = DkimKey.objects.for_organisation(key.organisation_id).filter(
        domain=key.domain_id, algorithm=key.algorithm, retired_at=None
    )
    # First, because one key of a kind signs. An older one that stopped must not come back.
    others.filter(Q(signs_since__isnull=False) | Q(created_at__lt=key.created_at)).update(
        retired_at=now
    )
    key.seen_at, key.signs_since = key.seen_at or now, now
    key.save(update_fields=["seen_at", "signs_since"])
