# SPDX-License-Identifier: AGPL-3.0-or-later
"""Whether documents can be signed and sealed, tried on a page made for it; and when that ends."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import datetime
from io import BytesIO
from typing import Any

from django.core.checks import CheckMessage, Error, Tags, Warning, register
from pyhanko.pdf_utils.generic import StreamObject
from pyhanko.pdf_utils.writer import PageObject, PdfFileWriter
from pyhanko.sign import PdfSignatureMetadata, SimpleSigner
from pyhanko.sign.fields import SigFieldSpec, append_signature_field

from accounts import alerts, clock
from accounts.vault import VaultError
from gdpr import sealkeys
from gdpr.certificates import Subject, loaded
from gdpr.sealkeys import RENEW_BEFORE, SealKeysError
from gdpr.seals import embed
from gdpr.verifying.reading import Order, examine

UNUSABLE = "seal-unusable"
ENDING = "seal-ending"
FIELD = "probe"


def probe(now: datetime) -> None:
    """Sign a page as a person and with the seal, and read it again. Raises SealKeysError."""
    signers = {
        "a person's key": sealkeys.signer_for_person(Subject("Probe", "Probe"), now),
        "the seal": sealkeys.signer_for_seal(now),
    }
    roots = tuple(loaded(root) for root in sealkeys.trust_roots(now))
    for name, signer in signers.items():
        found = examine(Order(_signed_page(signer, now), roots, now))
        if not found.sound:
            raise SealKeysError(f"what {name} signs is not trusted: see SEAL_TRUST and its dates")


def ending(now: datetime) -> list[sealkeys.Expiry]:
    """Return what can be used to sign for less than thirty days more. Raises SealKeysError."""
    return [e for e in sealkeys.expiries(now) if e.not_after - now < RENEW_BEFORE]


def watch(now: datetime) -> None:
    """Raise an alert when nothing can be signed, or soon cannot; close it when that is over."""
    try:
        probe(now)
        late = ending(now)
    except (SealKeysError, VaultError):
        alerts.raise_alert(UNUSABLE)
        return
    alerts.resolve_alert(UNUSABLE)
    (alerts.raise_alert if late else alerts.resolve_alert)(ENDING)


@register(Tags.security, deploy=True)
def check_seal(**kwargs: Any) -> list[CheckMessage]:
    return list(_faults(clock.now()))


def _faults(now: datetime) -> Iterator[CheckMessage]:
    try:
        probe(now)
        late = ending(now)
    except (SealKeysError, VaultError) as fault:
        yield Error(
            f"No document can be signed: {fault}.",
            hint="See SEAL_KEYS_URL, SEAL_PKCS12 and SEAL_TRUST in .env.example.",
            id="gdpr.E101",
        )
        return
    for expiry in late:
        yield Warning(
            f"The certificate of the {expiry.name} ends on {expiry.not_after:%Y-%m-%d}.",
            hint="Put a new file in the place of SEAL_PKCS12, or run `manage.py make_seal`.",
            id="gdpr.W101",
        )


def _signed_page(signer: SimpleSigner, now: datetime) -> bytes:
    metadata = PdfSignatureMetadata(field_name=FIELD, md_algorithm="sha256")
    return asyncio.run(embed(_page(), metadata, signer, now))


def _page() -> bytes:
    writer = PdfFileWriter()
    nothing = writer.add_object(StreamObject(stream_data=b""))
    writer.insert_page(PageObject(contents=nothing, media_box=(0, 0, 100, 100)))
    append_signature_field(writer, SigFieldSpec(FIELD))
    page = BytesIO()
    writer.write(page)
    return page.getvalue()
