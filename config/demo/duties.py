# SPDX-License-Identifier: AGPL-3.0-or-later
"""The demo's steps in the portal, done as the customer's owner: agreement, own data."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from pathlib import Path

from accounts import clock
from accounts.models import Organisation
from config.demo.portal import Page, Portal, has_form, path_of, signed_in
from config.demo.steps import PATIENCE, Journey, StepFailed, wait
from dpa import checking
from dpa.models import Agreement
from gdpr import seals, tasks
from gdpr.models import Package, Right
from gdpr.models.requests import RequestedRight

AGREEMENT_PDF = "var/demo/databehandleraftale.pdf"
TRUST_ROOT = "var/demo/ca.pem"
ACCESS_ZIP = "var/demo/access.zip"

State = Agreement.State


def agree(journey: Journey) -> None:
    """The owner signs the agreement in the portal, the service seals it, the PDF is checked."""
    portal = _owners_portal(journey)
    page = _signed(journey, portal)
    row = _newest(journey)
    if row is None or not wait(lambda: _is_in_force(row)):
        raise StepFailed(f"the agreement did not come into force; the portal shows {page.path}")
    pdf = portal.get(path_of("dpa:document", row.pk)).content
    judgement = checking.judge(pdf, clock.now())
    if not judgement.genuine or len(judgement.verification.signatures) != 2:
        raise StepFailed("the PDF is not the one on file, soundly signed by both")
    _demand_sending(row)
    _keep(journey, "agreement_pdf", AGREEMENT_PDF, pdf)
    _keep(journey, "trust_root", TRUST_ROOT, seals.trust_root(clock.now()))


def disclose(journey: Journey) -> None:
    """The owner asks for a copy of her data, and gets it as a package that is whole."""
    portal = _owners_portal(journey)
    if _open_rights(journey):
        # Asked for in an earlier run, which was killed before the package was made.
        tasks.pack.apply_async(expires=PATIENCE)
    else:
        page = portal.get(path_of("gdpr:request-new"))
        portal.send(page, page.path, rights=[Right.ACCESS])
    package = wait(lambda: _newest_package(journey))
    if package is None:
        raise StepFailed("no package was made of the owner's data")
    content = portal.get(path_of("gdpr:package", package.right.request_id, package.pk)).content
    _demand_whole(content, journey.facts["owner"]["email"])
    _keep(journey, "access_zip", ACCESS_ZIP, content)


def _owners_portal(journey: Journey) -> Portal:
    """Return the portal with the owner signed in, the same for every step."""
    if journey.portal is None:
        journey.portal = signed_in(journey.facts["web"], journey.facts["owner"])
    return journey.portal


def _signed(journey: Journey, portal: Portal) -> Page:
    """Issue and sign what the portal asks for; an earlier run may have stopped half-way."""
    page, row = portal.get(path_of("dpa:agreements")), _newest(journey)
    if has_form(page, path_of("dpa:issue")):
        page = portal.send(page, path_of("dpa:issue"))
    elif row is not None and row.state == State.OFFERED:
        page = portal.get(path_of("dpa:sign", row.pk))
    else:
        return page
    return portal.send(page, page.path, authority="on", terms="on")


def _newest(journey: Journey) -> Agreement | None:
    mine = Agreement.objects.filter(signatory__email=journey.facts["owner"]["email"])
    alive = mine.filter(state__in=(*Agreement.OPEN, State.IN_FORCE))
    return alive.select_related("organisation").order_by("-number").first()


def _is_in_force(row: Agreement) -> bool:
    row.refresh_from_db()
    return row.state == State.IN_FORCE


def _demand_sending(row: Agreement) -> None:
    """Whatever let the organisation send before, now it is the agreement."""
    organisation = Organisation.objects.get(pk=row.organisation_id)
    by_agreement = organisation.sending_reason == Organisation.SendingReason.AGREEMENT
    if not (organisation.sending_allowed and by_agreement):
        raise StepFailed("the agreement did not open for live mail")


def _open_rights(journey: Journey) -> bool:
    mine = RequestedRight.objects.filter(request__person__email=journey.facts["owner"]["email"])
    return mine.filter(right=Right.ACCESS, closed_at=None).exists()


def _newest_package(journey: Journey) -> Package | None:
    if _open_rights(journey):
        return None
    mine = Package.objects.filter(person__email=journey.facts["owner"]["email"])
    ready = mine.filter(right__right=Right.ACCESS, state=Package.State.READY)
    return ready.select_related("right").order_by("-made_at").first()


def _demand_whole(content: bytes, email: str) -> None:
    """Every file has the checksum that the manifest gives, and the owner's data are inside."""
    try:
        parts = _parts(content)
    except (zipfile.BadZipFile, KeyError) as fault:
        raise StepFailed(f"the package cannot be read: {fault}") from None
    if not any(email.encode() in part for name, part in parts.items() if name.startswith("json/")):
        raise StepFailed("the package does not have the owner's data")


def _parts(content: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(content)) as book:
        manifest = json.loads(book.read("manifest.json"))
        digests = {entry["path"]: entry["sha256"] for entry in manifest["files"]}
        parts = {name: book.read(name) for name in digests}
    for name, part in parts.items():
        if hashlib.sha256(part).hexdigest() != digests[name]:
            raise StepFailed(f"{name} is not what the manifest says")
    return parts


def _keep(journey: Journey, fact: str, name: str, content: bytes) -> None:
    path: Path = journey.root / name
    path.parent.mkdir(mode=0o700, exist_ok=True)
    path.write_bytes(content)
    journey.facts[fact] = name
