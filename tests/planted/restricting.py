# SPDX-License-Identifier: AGPL-3.0-or-later
"""Faults in what obeys a restriction: mail coming in, mail going out, whatever is read."""

from __future__ import annotations

from tests.planted.fault import Fault

# Where the code and the tests are.
POLICY, RESTRAINTS = "relay/submission.py", "relay/restraints.py"
DISCRETION = "relay/discretion.py"
WAITLIST = "relay/waitlist.py"
MAIL, PORTAL = "tests/relay/test_restriction.py", "tests/relay/test_views_restrictions.py"

FAULTS = (
    Fault(
        0,
        POLICY,
        "if who.must_not_use(recipient.address):",
        'if who.must_not_use(""):',
        f"{MAIL}::test_no_mail_is_taken_to_a_restricted_address_or_from_it",
    ),
    Fault(
        0,
        POLICY,
        "if sender is not None and who.must_not_use(str(sender)):",
        'if sender is not None and who.must_not_use(""):',
        f"{MAIL}::test_no_mail_is_taken_to_a_restricted_address_or_from_it",
    ),
    Fault(
        0,
        POLICY,
        "if any(who.must_not_use(str(one)) for one in shown):",
        'if any(who.must_not_use("") for one in shown):',
        f"{MAIL}::test_author_that_is_restricted_is_refused_under_another_return_path",
    ),
    Fault(
        0,
        "relay/delivery.py",
        "        told |= await self._keep_back(job)\n",
        "",
        f"{MAIL}::test_what_was_accepted_before_is_held_and_the_others_go",
    ),
    Fault(
        0,
        RESTRAINTS,
        "return tuple(one for one in work.deliveries if one.recipient.address in restricted)",
        "return ()",
        f"{MAIL}::test_notice_of_the_service_to_a_restricted_sender_does_not_leave",
    ),
    Fault(
        0,
        RESTRAINTS,
        "if work.sender and work.sender in restricted:",
        "if False:",
        f"{MAIL}::test_mail_of_a_restricted_sender_is_held",
    ),
    Fault(
        0,
        DISCRETION,
        "recipient=dsn.UNNAMED, outcome=",
        "outcome=",
        f"{MAIL}::test_notices_do_not_say_to_whom_restricted_mail_was",
    ),
    Fault(
        0,
        DISCRETION,
        " or self.is_named_in(header)",
        "",
        f"{MAIL}::test_notices_do_not_say_to_whom_restricted_mail_was",
    ),
    Fault(
        0,
        DISCRETION,
        'text="", remote_host=""',
        "text=outcome.text",
        "tests/relay/test_discretion.py::test_nothing_in_a_notice_says_who_is_restricted",
    ),
    Fault(
        0,
        "relay/feedback.py",
        "restricted = await returned.restricted(connection, about.organisation_id)",
        "restricted = Restricted(about.organisation_id)",
        "tests/relay/test_feedback.py::"
        "test_sender_is_not_told_whose_mail_came_back_where_that_is_restricted",
    ),
    Fault(
        0,
        "relay/delivery.py",
        "restricted = await self.restraints.of(work.organisation_id)",
        "restricted = outcomes.Restricted(work.organisation_id)",
        "tests/relay/test_delays.py::"
        "test_delay_of_mail_to_somebody_restricted_is_told_without_saying_whose",
    ),
    Fault(
        0,
        "relay/restricting.py",
        "spellings=spelt(address),",
        "spellings=[],",
        f"{PORTAL}::test_no_page_and_no_file_shows_a_restricted_address",
    ),
    Fault(
        0,
        WAITLIST,
        'row.recipient = "" if row.is_restricted else row.recipient',
        "pass",
        f"{PORTAL}::test_no_page_and_no_file_shows_a_restricted_address",
    ),
)
