# SPDX-License-Identifier: AGPL-3.0-or-later
"""What a person is told when an act of theirs is refused: one translated sentence each."""

from __future__ import annotations

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _


class Refused(Exception):
    """The act did not happen; `str()` says why in the language of the request."""

    text: Promise = _("That is not possible.")

    def __str__(self) -> str:
        return str(self.text)


class NotAllowed(Refused):
    text: Promise = _("Your role in this organisation does not allow that.")


class StepUpNeeded(Refused):
    text: Promise = _("Confirm that it is you first.")
