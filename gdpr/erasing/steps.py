# SPDX-License-Identifier: AGPL-3.0-or-later
"""The steps of an erasure, each in one transaction with the mark that it is done. Role `duty`.

A crash between two steps loses nothing, one inside a step undoes it: whoever carries on begins
with the first step that has no mark. What happens outside the database may happen twice.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from django.apps import apps

from accounts import audit
from gdpr import inventory, ledger, packages, requests, scan, sealedfiles, subjects
from gdpr.erasing import certificate, erasers, letters, plan, subject
from gdpr.erasing.subject import Carried
from gdpr.models import Erasure, ErasureStep, Package, RequestedRight
from gdpr.registry import Entry, Eraser
from gdpr.registry import Role as Decides
from gdpr.scan import Finding, Scan

ROWS = "rows:"


class Leftover(Exception):
    """The scan found the person somewhere; names the places."""


@dataclass(frozen=True, slots=True)
class Work:
    """A step that is being taken; both rows are locked."""

    erasure: Erasure
    step: ErasureStep
    now: datetime

    @property
    def carried(self) -> Carried:
        return subject.carried(self.erasure)

    def report(self, **parts: Any) -> None:
        self.erasure.report = {**self.erasure.report, **parts}
        self.erasure.save(update_fields=["report"])


def lay_out(erasure: Erasure) -> None:
    """Write down the steps, in their order, before the first is taken."""
    names = ["ledger", "survey"]
    names += [f"{ROWS}{entry.model}" for entry in plan.erased_entries()]
    names += ["scan", "certificate", "farewell"]
    ErasureStep.objects.bulk_create(
        ErasureStep(erasure=erasure, position=position, name=name)
        for position, name in enumerate(names)
    )


def take(work: Work) -> None:
    """Take one step and mark it done. Raises Leftover, scan.ScanIncomplete, and what fails."""
    name = work.step.name
    if name.startswith(ROWS):
        _erase_rows(work, inventory.entry(name.removeprefix(ROWS)))
    else:
        ACTS[name](work)
    work.step.done_at = work.now
    work.step.save()


def _enter_ledger(work: Work) -> None:
    carried = work.carried.subject
    assert carried.person_id is not None
    ledger.enter(work.erasure.pk, carried.person_id, work.now)


def _survey(work: Work) -> None:
    """Write down what is there before anything goes: afterwards nobody can be asked."""
    work.report(plan=plan.plan(work.carried.subject, work.now).as_json())


def _erase_rows(work: Work, entry: Entry) -> None:
    if entry.model == Package._meta.label:
        # Files first: no row leads to them afterwards.
        for package in subjects.rows(entry, work.carried.subject):
            sealedfiles.remove(packages.path_of(package.pk))
    done = erasers.erase(entry, work.carried.subject)
    work.step.removed, work.step.changed = done.removed, done.changed


def _scan(work: Work) -> None:
    made = scan.scan(work.carried.sought, work.now)
    left = [finding for finding in made.findings if _is_leftover(finding)]
    if left:
        raise Leftover(", ".join(sorted({finding.place for finding in left})))
    work.report(scan=_as_json(made))


def _is_leftover(finding: Finding) -> bool:
    """Say whether something was found that the inventory does not keep."""
    if not finding.kind.is_conclusive:
        return False
    entry = _ENTRY_OF_TABLE.get(finding.place.partition(".")[0])
    return entry is None or not _may_stay(entry)


def _may_stay(entry: Entry) -> bool:
    # Mail of customers is theirs to decide on (article 28(3)(a)), whoever wrote it.
    kept = (Eraser.EXPIRY, Eraser.ORGANISATION, Eraser.HOLD)
    return entry.role is Decides.PROCESSOR or any(path.eraser in kept for path in entry.paths)


_ENTRY_OF_TABLE = {apps.get_model(entry.model)._meta.db_table: entry for entry in inventory.ENTRIES}


def _as_json(made: Scan) -> dict[str, Any]:
    values = asdict(made)
    values["at"] = made.at.isoformat()
    values["findings"] = [[found.place, found.kind.value, found.count] for found in made.findings]
    return values


def _certify(work: Work) -> None:
    pdf = certificate.issue(work.erasure, work.now)
    work.erasure.certificate = pdf
    work.erasure.certificate_digest = hashlib.sha256(pdf).hexdigest()
    work.erasure.save(update_fields=["certificate", "certificate_digest"])


def _say_farewell(work: Work) -> None:
    """Send the last mail, close the request and forget whom it was about."""
    erasure, token = work.erasure, certificate.token_of(work.erasure.pk)
    if not erasure.is_repeat:
        until = certificate.link_ends_at(work.now)
        letters.erased(work.carried, erasure.language, token, until, _reasons(erasure))
    erasure.token_hash = certificate.token_hash(token)
    erasure.state, erasure.ended_at = Erasure.State.DONE, work.now
    erasure.fault = Erasure.Fault.NONE
    erasure.save()
    subject.let_go(erasure)
    if erasure.right is not None and erasure.right.is_open:
        if erasure.right.state != RequestedRight.State.ACT:
            _back_to_act(erasure.right, work.now)
        _close(erasure, erasure.right, work.now)
    audit.record_installation(None, "erasure.done", erasure)


def _back_to_act(right: RequestedRight, now: datetime) -> None:
    """Let go of a right that staff were assessing when the backup was made that was restored."""
    for state in (RequestedRight.State.ASSESS, RequestedRight.State.ACT):
        if state in requests.MOVES[RequestedRight.State(right.state)]:
            requests.move(right, state, requests.SERVICE, now)


def _close(erasure: Erasure, right: RequestedRight, now: datetime) -> None:
    made = plan.Plan.from_json(erasure.report["plan"])
    state = RequestedRight.State.PARTLY_DONE if made.is_partial else RequestedRight.State.DONE
    requests.move(right, state, requests.SERVICE, now, reason=_reasons(erasure))


def _reasons(erasure: Erasure) -> str:
    made = plan.Plan.from_json(erasure.report["plan"])
    return certificate.reasons(made, erasure.language)


ACTS: dict[str, Callable[[Work], None]] = {
    "ledger": _enter_ledger,
    "survey": _survey,
    "scan": _scan,
    "certificate": _certify,
    "farewell": _say_farewell,
}
