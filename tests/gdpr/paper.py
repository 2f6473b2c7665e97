# SPDX-License-Identifier: AGPL-3.0-or-later
"""Documents for tests: one that has everything a document can have, unsigned and signed."""

from __future__ import annotations

import base64
import json
import re
from datetime import UTC, datetime
from functools import cache
from typing import Any

from django.conf import settings

from gdpr import sealkeys, seals
from gdpr.documents import Attachment, render
from gdpr.verifying.reading import Order, examine

NOW = datetime(2026, 11, 22, 10, tzinfo=UTC)
FACTS = {"schema": "https://brevdue.example/schemas/agreement/1", "party": "Duehuset ApS"}
SIGNATORY = seals.Subject("Åse Ærø", "Duehuset ApS", "Direktør")


def sample(template="sample.html", **changes):
    """Return the test document; `name` is the one text that comes from a customer."""
    context = {"name": changes.pop("name", "Duehuset ApS"), "rows": range(1, 41)}
    arguments: dict[str, Any] = {
        "language": "da",
        "title": "Prøve på en aftale",
        "identifier": "P-2026-1",
        "issued_at": NOW,
        "attachments": [
            Attachment("aftale.json", json.dumps(FACTS).encode(), "Aftalen som data", "Data")
        ],
    }
    return render(template, context, **(arguments | changes))


def signed():
    """Return the document unsigned, signed by a person, and sealed after that."""
    return _signed(settings.SEAL_KEYS_URL)


@cache
def _signed(_keys):
    """The same for each place of keys, as tests have keys of their own."""
    plain = sample()
    once = seals.sign_as_person(
        plain,
        field="controller",
        subject=SIGNATORY,
        reason="Indgår aftalen",
        language="da",
        now=NOW,
    )
    twice = seals.seal(once, field="processor", reason="Modtaget", language="da", now=NOW)
    return plain, once, twice


def examined(octets, now=NOW):
    """Read in this process what the child would read: fifty files would be fifty processes."""
    roots = [root.decode() for root in sealkeys.trust_roots(now)]
    pdf = base64.b64encode(octets).decode()
    return examine(Order.read({"pdf": pdf, "roots": roots, "now": now.isoformat()}))


def flipped(octets, place, bit):
    altered = bytearray(octets)
    altered[place] ^= bit
    return bytes(altered)


def flips(octets, count, chance):
    """Yield altered files and whether a signature covers the place, `count` times."""
    free = unsigned(octets)
    covered = sorted(set(range(len(octets))) - set(free))
    for number in range(count):
        place = chance.choice(free if number % 2 else covered)
        yield flipped(octets, place, 1 << chance.randrange(8)), place not in free


def unsigned(octets):
    """The places of the last signature's own envelope: no signature covers them."""
    found = re.findall(rb"/ByteRange \[(\d+) (\d+) (\d+) (\d+)\s*\]", octets)
    _, first, second, _ = map(int, found[-1])
    return range(first, second)
