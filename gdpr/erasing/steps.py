# SPDX-License-Identifier: AGPL-3.0-or-later
"""The steps of an erasure, each in one transaction with the mark that it is done. Role `duty`.

A crash between two steps loses nothing, one inside a step undoes it: whoever carries on begins
with the first step that has no mark. What happens outside the database may happen twice.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import date, datetime
from typing import Any
from uuid import UUID

from accounts import audit, team
from accounts.models import Membership
from gdpr import (
    inventory,
    ledger,
    packages,
    places,
    propagation,
    requests,
    scan,
    sealedfiles,
    subjects,
)
from gdpr.erasing import certificate, erasers, findings, holding, letters, plan, subject
from gdpr.erasing.subject import Carried
from gdpr.models import Erasure, ErasureStep, Package, RequestedRight
from gdpr.models.erasures import ROWS
from gdpr.registry import Entry, Personal
from gdpr.registry import Role as Decides
from gdpr.scan import Finding, Scan

SCAN = "scan"
# Where in the report the fault of the last try stands.
STUCK = "stuck"
# And the rows that stay, by model, until the end: afterwards nothing leads from it to them.
KEPT = "kept_keys"


class Leftover(Exception):
    """The scan found the person somewhere; as text it names the places."""

    def __init__(self, left: Sequence[Finding]) -> None:
        self.findings = tuple(left)
        super().__init__(", ".join(sorted({finding.place for finding in left})))


@dataclass(frozen=True, slots=True)
class Work:
    """A step that is being taken; the erasure is locked. `made` is what the step SCAN is about."""

    erasure: Erasure
    step: ErasureStep
    now: datetime
    made: Scan | None = None

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
    names += [SCAN, "certificate", "farewell"]
    ErasureStep.objects.bulk_create(
        ErasureStep(erasure=erasure, position=position, name=name)
        for position, name in enumerate(names)
    )


def take(work: Work) -> None:
    """Take one step and mark it done. Raises Leftover, and what fails."""
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
    about = work.carried.subject
    work.report(
        plan=plan.plan(about, work.now).as_json(),
        **{KEPT: plan.kept_keys(about)},
    )
    holding.write_down(work.erasure, about)


def _erase_rows(work: Work, entry: Entry) -> None:
    if entry.model == Package._meta.label:
        # Files first: no row leads to them afterwards.
        for package in subjects.rows(entry, work.carried.subject):
            sealedfiles.remove(packages.path_of(package.pk))
    if entry.model == Membership._meta.label:
        _tell_organisations(UUID(work.carried.person_id))
    done = erasers.erase(entry, work.carried.subject)
    # Not the first time where the scan has found what came after that.
    work.step.removed += done.removed
    work.step.changed += done.changed


def _tell_organisations(person_id: UUID) -> None:
    """Say in each organisation's own trail, and to its owners, that a member is gone."""
    own = Membership.objects.filter(user_id=person_id, approved_at__isnull=False)
    # In one order, so that two erasures do not wait for each other's trail.
    for row in own.select_related("organisation").order_by("organisation_id"):
        for owner in team.owners(row.organisation_id).exclude(user_id=person_id):
            letters.member_erased(owner)
        audit.record(None, "membership.ended", row)


def search(erasure: Erasure, now: datetime) -> Scan:
    """Look everywhere for whom an erasure is about. Raises scan.ScanIncomplete."""
    made = scan.scan(subject.carried(erasure).sought, now, plan.in_tables(erasure.report[KEPT]))
    return replace(made, findings=tuple(map(_as_kept, made.findings)))


def _as_kept(finding: Finding) -> Finding:
    """Return a finding whose kept rows say nothing where nobody should be, as in a state."""
    is_expected = isinstance(places.field_of(finding), Personal)
    return finding if is_expected else replace(finding, kept=0)


def _judge_scan(work: Work) -> None:
    made = work.made
    assert made is not None, "the search comes before the step that judges it"
    known = findings.accepted(work.erasure)
    left = [
        finding
        for finding in made.findings
        if _is_leftover(finding) and not findings.are_accepted(finding, known)
    ]
    if left:
        raise Leftover(left)
    work.report(scan=_as_json(made))


def take_again(erasure_id: UUID, left: Iterable[Finding]) -> None:
    """Have the tables in which something was found erased once more: it may have come late."""
    found = [places.entry_of(finding) for finding in left]
    names = [f"{ROWS}{entry.model}" for entry in found if entry is not None]
    ErasureStep.objects.filter(erasure=erasure_id, name__in=names).update(done_at=None)


def _is_leftover(finding: Finding) -> bool:
    """Say whether any of it is outside the rows that the plan keeps and what customers decide."""
    if not finding.kind.is_conclusive or finding.kept == finding.count:
        return False
    return not _is_customers(finding)


def _is_customers(finding: Finding) -> bool:
    """Say whether it is in words that are a customer's to decide on (article 28(3)(a)).

    Not in a customer's own name and address, nor in what the service writes beside their words:
    there the service decides, and another customer's row has no business with the person.
    """
    entry, field = places.entry_of(finding), places.field_of(finding)
    if entry is None or field is None:
        return False
    return entry.role is Decides.PROCESSOR and field.customers_words


def _plan_of(erasure: Erasure) -> plan.Plan:
    return plan.Plan.from_json(erasure.report["plan"])


def _as_json(made: Scan) -> dict[str, Any]:
    values = asdict(made)
    values["at"] = made.at.isoformat()
    values["findings"] = [
        [found.place, found.kind.value, found.count, found.kept] for found in made.findings
    ]
    return values


def _certify(work: Work) -> None:
    letters_left = 0 if work.erasure.is_repeat else 1
    made = _plan_of(work.erasure)
    made = plan.at_the_end(made, work.carried.subject, letters_left, work.now)
    work.report(plan=made.as_json())
    pdf = certificate.issue(work.erasure, work.now)
    work.erasure.certificate = pdf
    work.erasure.certificate_digest = hashlib.sha256(pdf).hexdigest()
    work.erasure.save(update_fields=["certificate", "certificate_digest"])


def _say_farewell(work: Work) -> None:
    """Send the last mail, close the request and forget whom it was about."""
    erasure, token = work.erasure, certificate.token_of(work.erasure.pk)
    is_complete = not erasure.held.filter(done_at=None).exists()
    if not erasure.is_repeat:
        letters.erased(work.carried, erasure, token, _reasons(erasure), work.now)
    erasure.token_hash = certificate.token_hash(token)
    erasure.state, erasure.ended_at = Erasure.State.DONE, work.now
    erasure.completed_at = work.now if is_complete else None
    erasure.fault = Erasure.Fault.NONE
    passing = {STUCK, KEPT, findings.FOUND}
    erasure.report = {name: part for name, part in erasure.report.items() if name not in passing}
    erasure.save()
    if not erasure.is_repeat:
        _tell_recipients(work)
    subject.let_go(erasure)
    if erasure.right is not None and erasure.right.is_open:
        if erasure.right.state != RequestedRight.State.ACT:
            _back_to_act(erasure.right, work.now)
        _close(erasure, erasure.right, work.now)
    audit.record_installation(None, "erasure.done", erasure)


def _tell_recipients(work: Work) -> None:
    carried = work.carried
    account, since = UUID(carried.person_id), date.fromisoformat(carried.since)
    propagation.tell_of_erasure(work.erasure, account, since, work.now)


def _back_to_act(right: RequestedRight, now: datetime) -> None:
    """Let go of a right that staff were assessing when the backup was made that was restored."""
    for state in (RequestedRight.State.ASSESS, RequestedRight.State.ACT):
        if state in requests.MOVES[RequestedRight.State(right.state)]:
            requests.move(right, state, requests.SERVICE, now)


def _close(erasure: Erasure, right: RequestedRight, now: datetime) -> None:
    made = _plan_of(erasure)
    state = RequestedRight.State.PARTLY_DONE if made.is_partial else RequestedRight.State.DONE
    requests.move(right, state, requests.SERVICE, now, reason=_reasons(erasure))


def _reasons(erasure: Erasure) -> str:
    made = plan.Plan.from_json(erasure.report["plan"])
    return certificate.reasons(made, erasure.language)


ACTS: dict[str, Callable[[Work], None]] = {
    "ledger": _enter_ledger,
    "survey": _survey,
    SCAN: _judge_scan,
    "certificate": _certify,
    "farewell": _say_farewell,
}
