# SPDX-License-Identifier: AGPL-3.0-or-later
"""Whether every kind of letter could leave, as far as the installation itself is concerned."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.core.checks import CheckMessage, Error, register
from django.utils import translation

from accounts.models import User
from gdpr.letters.facts import of_operator
from gdpr.letters.filling import Incomplete, fill
from gdpr.letters.kinds import Kind
from gdpr.letters.wording import KINDS

HINT = "Fill in the settings that are named, and look at the words of the letter in that language."


@register()
def check_letters(**kwargs: Any) -> list[CheckMessage]:
    return [
        fault
        for kind in KINDS.values()
        for language in User.Language.values
        for fault in _faults(kind, language)
    ]


def _faults(kind: Kind, language: str) -> Iterator[CheckMessage]:
    with translation.override(language):
        given = dict.fromkeys(kind.facts, "–") | of_operator()
    try:
        fill(kind, given, language)
    except Incomplete as incomplete:
        named = ", ".join(sorted(incomplete.missing))
        message = f"The letter {kind.name} could not leave in {language}: {named} is missing."
        yield Error(message, hint=HINT, id="gdpr.E102")
