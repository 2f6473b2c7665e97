# SPDX-License-Identifier: AGPL-3.0-or-later
"""Faults in consents: given without a confirmation, kept without its words, hard to take back."""

from __future__ import annotations

from tests.planted.fault import Fault

CONSENTS, PAGES = "accounts/consents.py", "accounts/views/consents.py"
GIVEN = "tests/accounts/test_consents.py"

FAULTS = (
    Fault(
        0,
        CONSENTS,
        "    emails.consent_confirm(person, token, words, CONFIRM_DAYS)\n",
        "    emails.consent_confirm(person, token, words, CONFIRM_DAYS)\n    confirm(token)\n",
        f"{GIVEN}::test_newsletter_is_kept_when_the_link_is_confirmed",
    ),
    Fault(
        0,
        CONSENTS,
        "digest=wording.digest(language),",
        'digest="",',
        f"{GIVEN}::test_newsletter_is_kept_when_the_link_is_confirmed",
    ),
    Fault(
        0,
        "accounts/wordings.py",
        "Jeg kan til enhver tid sige nej tak igen.",
        "Jeg kan altid sige nej tak igen.",
        f"{GIVEN}::test_words_of_a_version_are_never_changed",
    ),
    Fault(
        0,
        CONSENTS,
        "if person is None or _was_used(person, values):",
        "if person is None:",
        f"{GIVEN}::test_a_link_confirms_once_and_not_what_was_withdrawn_since",
    ),
    Fault(
        0,
        CONSENTS,
        'pk=values["person"], email=values["address"])',
        'pk=values["person"])',
        f"{GIVEN}::test_a_link_is_of_the_address_it_was_sent_to",
    ),
    Fault(
        0,
        CONSENTS,
        "    if Purpose.NEWSLETTER not in in_force(person):\n",
        "    if False:\n",
        f"{GIVEN}::test_nothing_is_measured_without_the_newsletter",
    ),
    Fault(
        0,
        CONSENTS,
        "        ended.add(Purpose.TRACKING)\n",
        "        pass\n",
        f"{GIVEN}::test_nothing_is_measured_without_the_newsletter",
    ),
    Fault(
        0,
        PAGES,
        "@form_page\n@never_cache\ndef end(",
        "@form_page\n@person_required\n@never_cache\ndef end(",
        f"{GIVEN}::TestPages::test_link_of_the_mail_ends_it_without_a_sign_in",
    ),
    Fault(
        0,
        PAGES,
        '        if request.method == "POST":\n            consents.withdraw_by_link(token)\n',
        "        consents.withdraw_by_link(token)\n",
        f"{GIVEN}::TestPages::test_link_of_the_mail_ends_it_without_a_sign_in",
    ),
    Fault(
        0,
        "gdpr/rights/consent.py",
        "    consents.withdraw_all(person, consents.Channel.REQUEST)\n",
        "",
        "tests/gdpr/test_consent_requests.py::test_in_the_portal_it_is_done_in_the_act_of_asking",
    ),
)
