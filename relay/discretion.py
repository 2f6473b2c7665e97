# SPDX-License-Identifier: AGPL-3.0-or-later
"""Which addresses one organisation must not use, and its notices without them (GDPR article 18).

A notice says that a mail failed, waits or went on: whoever sent it has to know that. To whom it was
written is use of an address that may be kept and no more, so the service's own mails leave that
out; the organisation finds the mail by its id.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from uuid import UUID

from relay.smtp import dsn
from relay.smtp.replies import Outcome, addresses_in
from relay.suppressing import fingerprint


@dataclass(frozen=True, slots=True)
class Restricted:
    """The addresses that an organisation must not use, as fingerprints."""

    organisation_id: UUID
    hashes: frozenset[bytes] = field(default=frozenset(), repr=False)

    def __contains__(self, address: str) -> bool:
        return bool(self.hashes) and fingerprint(self.organisation_id, address) in self.hashes

    def is_named_in(self, text: str) -> bool:
        """Whether a text of somebody else's holds one of the addresses."""
        return bool(self.hashes) and any(one in self for one in addresses_in(text))

    def left_out_of(self, report: dsn.Report) -> dsn.Report:
        """Return the report without them: no address, no answer about it, no header that has it.

        One mail's headers say of all its recipients, and more than addresses.
        """
        if not self.hashes:
            return report
        told = tuple(map(self._left_out, report.recipients))
        header = dsn.header_section(report.original).decode("latin-1")
        if dsn.UNNAMED in (one.recipient for one in told) or self.is_named_in(header):
            return replace(report, recipients=told, original=b"")
        return replace(report, recipients=told)

    def _left_out(self, told: dsn.Told) -> dsn.Told:
        if told.recipient.address in self:
            return replace(told, recipient=dsn.UNNAMED, outcome=_bare(told.outcome))
        if self.is_named_in(told.outcome.text):
            return replace(told, outcome=replace(told.outcome, text=""))
        return told


def _bare(outcome: Outcome) -> Outcome:
    """Return the codes alone: words and hosts may say whose address it was."""
    return replace(outcome, text="", remote_host="")
