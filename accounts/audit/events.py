# SPDX-License-Identifier: AGPL-3.0-or-later
"""The audit trail: who did what to which row. Names and ids only, never a value or an address."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from hmac import compare_digest
from uuid import UUID

from django.conf import settings
from django.db import connection, models, transaction
from django.db.models import Max, Min, Q, Subquery

from accounts import clock, vault
from accounts.audit import anchors
from accounts.audit.anchors import Anchor
from accounts.audit.chain import START, Entry, Link, faults
from accounts.models import AuditActor, AuditChain, AuditCheckpoint, AuditEvent, Organisation, User
from accounts.signedlines import LinesAltered

# A year to look back on, and a month to ask in.
AUDIT_DAYS = 396

# How far from the database's own clock the portal and staff may say that something happened.
TOLERANCE = timedelta(minutes=5)
# A test that moves the clock of a running stack moves it by years, and not that of the database.
TOLERANCE_OF_TESTS = timedelta(days=36_500)

# What the installation's chain holds when an organisation's own chain went with it.
DELETED = "organisation.deleted"

APPEND = "SELECT accounts_audit_append(%s, %s, %s, %s, %s, %s::text[], %s)"


def prepare() -> None:
    """Tell the database the tolerance of this installation; after `migrate`, as the owner."""
    tolerance = TOLERANCE_OF_TESTS if settings.TEST_CLOCK_FILE else TOLERANCE
    with connection.cursor() as cursor:
        cursor.execute(
            "CREATE OR REPLACE FUNCTION accounts_audit_tolerance() RETURNS interval"
            f" LANGUAGE sql STABLE AS $$ SELECT interval '{tolerance.days} days"
            f" {tolerance.seconds} seconds' $$"
        )


def record(actor: User | None, act: str, target: models.Model, fields: Iterable[str] = ()) -> None:
    """Add an event to the chain of the target's organisation; `actor` is None for the service.

    Call it last in the transaction: the head of the chain stays locked until the commit.
    """
    owner = target.pk if isinstance(target, Organisation) else _owner(target)
    _append(owner, actor, act, target, fields)


def record_installation(
    actor: User | None, act: str, target: models.Model, fields: Iterable[str] = ()
) -> None:
    """Add an event to the installation's chain: what belongs to no organisation, as a sign-in."""
    _append(None, actor, act, target, fields)


def _owner(target: models.Model) -> UUID:
    owner: UUID | None = getattr(target, "organisation_id", None)
    if owner is None:
        raise TypeError(f"{target._meta.label} belongs to no organisation")
    return owner


def _append(
    organisation_id: UUID | None,
    actor: User | None,
    act: str,
    target: models.Model,
    fields: Iterable[str],
) -> None:
    by = actor_id(organisation_id, actor) if actor else None
    named = (target._meta.label, _target_id(organisation_id, target), list(fields))
    with connection.cursor() as cursor:
        cursor.execute(APPEND, [organisation_id, by, act, *named, clock.now()])


def _target_id(organisation_id: UUID | None, target: models.Model) -> str:
    # A person is named as target by the same erasable id as when they act.
    return str(actor_id(organisation_id, target) if isinstance(target, User) else target.pk)


def actor_id(organisation_id: UUID | None, user: User) -> UUID:
    """Return the random id that stands for a person in a chain; erasing its row makes it nobody."""
    row, _ = AuditActor.objects.get_or_create(
        organisation_id=organisation_id,  # type: ignore[misc] # None is a value of the column
        user_id=user.pk,
    )
    return row.id


def anchor_heads(now: datetime) -> int:
    """Write the head of every chain outside the database; return how many. Role `duty`."""
    heads = [Anchor(chain.organisation_id, _head(chain)) for chain in AuditChain.objects.all()]
    anchors.append(heads, now)
    anchors.drop_before(now - timedelta(days=AUDIT_DAYS))
    return len(heads)


def expire(now: datetime, ahead: timedelta = timedelta()) -> int:
    """Let a signed checkpoint stand for events older than AUDIT_DAYS; return how many went.

    Those that reach that age within `ahead` go too. Role `duty`.
    """
    limit = now + ahead - timedelta(days=AUDIT_DAYS)
    return sum(_expire_chain(chain, limit, now) for chain in AuditChain.objects.all())


def count_expiring(now: datetime, ahead: timedelta = timedelta()) -> int:
    """Return how many events `expire` would let go."""
    limit = now + ahead - timedelta(days=AUDIT_DAYS)
    return sum(_count_expiring(chain, limit) for chain in AuditChain.objects.all())


def _count_expiring(chain: AuditChain, limit: datetime) -> int:
    events = AuditEvent.objects.filter(_of(chain.organisation_id))
    last = _last_expired(events, limit)
    return events.filter(sequence__lte=last.sequence).count() if last else 0


def _expire_chain(chain: AuditChain, limit: datetime, now: datetime) -> int:
    events = AuditEvent.objects.filter(_of(chain.organisation_id))
    with transaction.atomic():
        last = _last_expired(events, limit)
        if last is None:
            return 0
        checkpoints = AuditCheckpoint.objects.filter(_of(chain.organisation_id))
        checkpoints.delete()
        checkpoints.create(
            organisation_id=chain.organisation_id,
            sequence=last.sequence,
            digest=last.digest,
            signature=_signature(chain.organisation_id, Link(last.sequence, bytes(last.digest))),
            created_at=now,
        )
        count, _ = events.filter(sequence__lte=last.sequence).delete()
    return count


def _last_expired(events: models.QuerySet[AuditEvent], limit: datetime) -> AuditEvent | None:
    """Return the event up to which every event is older than `limit`."""
    kept = events.filter(at__gte=limit).aggregate(first=Min("sequence"))["first"]
    if kept is None:
        kept = (events.aggregate(last=Max("sequence"))["last"] or 0) + 1
    return events.filter(sequence__lt=kept).order_by("-sequence").first()


def verify() -> list[str]:
    """Recompute every chain; return the faults found, none when all is whole. Sees all rows.

    A chain may be gone when the installation's own chain, whole and anchored, says that the
    organisation was deleted (DELETED): the act that deletes one records that first.
    """
    chains = {chain.organisation_id: chain for chain in AuditChain.objects.all()}
    found = [fault for chain in chains.values() for fault in _chain_faults(chain)]
    orphans = AuditEvent.objects.exclude(organisation_id__in=[key for key in chains if key])
    owners = set(orphans.order_by().values_list("organisation_id", flat=True).distinct())
    found += [f"{_name(owner)}: events without a chain" for owner in owners - set(chains)]
    return found + list(_anchor_faults(chains))


def _chain_faults(chain: AuditChain) -> Iterator[str]:
    name = _name(chain.organisation_id)
    start, fault = _start(chain.organisation_id)
    if fault:
        yield f"{name}: {fault}"
    events = AuditEvent.objects.filter(_of(chain.organisation_id)).order_by("sequence")
    # The chain may grow meanwhile: what is judged is the chain as it was when its head was read.
    judged = events.filter(sequence__lte=chain.head_sequence)
    for fault in faults(map(_entry, judged.iterator()), start, _head(chain)):
        yield f"{name}: {fault}"
    head = AuditChain.objects.filter(pk=chain.pk).values("head_sequence")
    if events.filter(sequence__gt=Subquery(head)).exists():
        yield f"{name}: events beyond the head"


def _start(organisation_id: UUID | None) -> tuple[Link, str]:
    """Return where the chain goes on from, and what is wrong with the checkpoint, if anything."""
    rows = AuditCheckpoint.objects.filter(_of(organisation_id))
    row = rows.order_by("-sequence").first()
    if row is None:
        return START, ""
    link = Link(row.sequence, bytes(row.digest))
    genuine = compare_digest(_signature(organisation_id, link), bytes(row.signature))
    return (link, "") if genuine else (START, f"checkpoint {row.sequence} is not signed by us")


def _anchor_faults(chains: dict[UUID | None, AuditChain]) -> Iterator[str]:
    deletions = AuditEvent.objects.filter(_of(None), action=DELETED)
    deleted = set(deletions.values_list("target_id", flat=True))
    # An anchor outlives by up to a month the events that explain it.
    since = clock.now() - timedelta(days=AUDIT_DAYS)
    try:
        for anchor in anchors.read(since):
            name, chain = _name(anchor.organisation_id), chains.get(anchor.organisation_id)
            if chain is None and name in deleted:
                continue
            if fault := _anchor_fault(anchor, chain):
                yield f"{name}: {fault}"
    except LinesAltered as error:
        yield f"anchors: {error} was altered"


def _anchor_fault(anchor: Anchor, chain: AuditChain | None) -> str:
    head = anchor.head
    if chain is None:
        return f"the chain is gone, it had {head.sequence} events"
    if head.sequence > chain.head_sequence:
        return f"cut at event {chain.head_sequence}, it had {head.sequence}"
    rows = AuditEvent.objects.filter(_of(anchor.organisation_id))
    digest = rows.filter(sequence=head.sequence).values_list("digest", flat=True).first()
    if digest is not None and bytes(digest) != head.digest:
        return f"event {head.sequence} is not the one that was anchored"
    return ""


def _signature(organisation_id: UUID | None, link: Link) -> bytes:
    line = f"{organisation_id or '-'}|{link.sequence}|{link.digest.hex()}"
    return vault.keyed_hash("audit-checkpoint", line.encode())


def _head(chain: AuditChain) -> Link:
    return Link(chain.head_sequence, bytes(chain.head_digest))


def _of(organisation_id: UUID | None) -> Q:
    return Q(organisation=organisation_id)


def _name(organisation_id: UUID | None) -> str:
    return str(organisation_id or "installation")


def _entry(row: AuditEvent) -> Entry:
    return Entry(
        organisation_id=row.organisation_id,
        sequence=row.sequence,
        at=row.at,
        actor_id=row.actor_id,
        action=row.action,
        target_type=row.target_type,
        target_id=row.target_id,
        fields=tuple(row.fields),
        previous_digest=bytes(row.previous_digest),
        digest=bytes(row.digest),
    )
