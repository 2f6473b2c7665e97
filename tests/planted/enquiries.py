# SPDX-License-Identifier: AGPL-3.0-or-later
"""Faults in enquiries: what they tell of an address, whose link proves it, and who is passed it."""

from __future__ import annotations

from tests.planted.fault import Fault

ASKING, PROVING = "gdpr/enquiries/asking.py", "gdpr/enquiries/proving.py"
PASSING, FORWARDING = "gdpr/enquiries/passing.py", "gdpr/enquiries/forwarding.py"
CONTROLLERS = "gdpr/enquiries/controllers.py"
LINKS = "gdpr/migrations/0006_enquiries.py"
FORM, PASSED = "tests/gdpr/enquiries/test_form.py", "tests/gdpr/enquiries/test_passing.py"
FORGED = "tests/gdpr/enquiries/test_forged.py"
INBOX = "tests/gdpr/enquiries/test_inbox.py"
OURSELVES = "tests/gdpr/enquiries/test_ourselves.py"

FAULTS = (
    # Nothing tells a known address from an unknown one.
    Fault(
        0,
        PROVING,
        "return proven_at.replace(minute=0, second=0, microsecond=0) + HOUR",
        "return proven_at",
        f"{PASSED}::TestAnswer::test_known_and_unknown_hear_the_same_at_the_same_time",
    ),
    Fault(
        0,
        PASSING,
        "    mails.enquiry_answered(row, asked)\n",
        "    if controllers.concerned(asked):\n        mails.enquiry_answered(row, asked)\n",
        f"{PASSED}::TestAnswer::test_known_and_unknown_hear_the_same_at_the_same_time",
    ),
    Fault(
        0,
        PASSING,
        "    return _each(proven, _answer, now)\n",
        "    return _each(proven, lambda *one: (_answer(*one), _pass_on(*one)), now)\n",
        f"{PASSED}::TestAnswer::test_answers_are_written_before_anything_is_looked_up",
    ),
    Fault(
        0,
        ASKING,
        "        _keep(asked, now)\n",
        "        from accounts.models import User\n"
        "        if not User.objects.filter(email=asked.address).exists():\n"
        "            _keep(asked, now)\n",
        f"{FORM}::test_page_and_work_are_the_same_for_a_known_address",
    ),
    # A link proves the one request that its mail was about.
    Fault(
        0,
        LINKS,
        "WHERE e.id = enquiry AND e.mailed_at IS NOT NULL AND e.proven_at IS NULL;",
        "WHERE e.mailed_at IS NOT NULL AND e.proven_at IS NULL;",
        f"{FORGED}::test_forged_requests_disclose_nothing_and_erase_nothing",
    ),
    Fault(
        0,
        LINKS,
        "AND e.mailed_at IS NOT NULL AND e.proven_at IS NULL;",
        "AND e.proven_at IS NULL;",
        f"{FORM}::TestLink::test_number_of_a_row_is_no_proof_before_its_mail",
    ),
    Fault(
        0,
        LINKS,
        "AND e.mailed_at IS NOT NULL AND e.proven_at IS NULL;",
        "AND e.mailed_at IS NOT NULL;",
        f"{FORM}::TestLink::test_saying_yes_twice_is_once",
    ),
    Fault(
        0,
        "gdpr/views/enquiries.py",
        'if request.method == "POST":',
        "if True:",
        f"{FORM}::TestLink::test_reading_changes_nothing_and_the_button_does",
    ),
    # What nobody has proven counts for nothing and against nobody.
    Fault(
        0,
        PASSING,
        "Enquiry.objects.filter(proven_at__isnull=False, answered_at=None)",
        "Enquiry.objects.filter(mailed_at__isnull=False, answered_at=None)",
        f"{FORGED}::test_forged_requests_disclose_nothing_and_erase_nothing",
    ),
    Fault(
        0,
        ASKING,
        'f"{normalised(asked.address)}|{limits.network(network)}"',
        "normalised(asked.address)",
        f"{FORM}::test_one_network_does_not_use_up_an_address",
    ),
    Fault(
        0,
        PASSING,
        "    if free_at > now:\n",
        "    if False:\n",
        f"{PASSED}::TestLinks::test_address_gets_so_many_a_day_and_the_rest_later",
    ),
    Fault(
        0,
        PASSING,
        "filter(address_hash=address_hash, mailed_at__gt=now - DAY)",
        "filter(mailed_at__gt=now - DAY)",
        f"{PASSED}::TestLinks::test_another_address_is_not_kept_waiting",
    ),
    # Whoever is concerned gets it, once, and nobody else.
    Fault(
        0,
        CONTROLLERS,
        "if asked.whom is Whom.EVERYONE:",
        "if asked.whom is not Whom.OURSELVES:",
        f"{PASSED}::TestWhom::test_named_sender_alone_gets_it",
    ),
    Fault(
        0,
        CONTROLLERS,
        "    first = next((owner for owner in owners if owner), None)\n"
        "    return {first} if first else set()\n",
        "    return {owner for owner in owners if owner}\n",
        f"{PASSED}::TestWhom::test_of_several_domains_in_a_header_the_likeliest_counts",
    ),
    Fault(
        0,
        CONTROLLERS,
        "if named.message_id and (found",
        "if named.domains and (found",
        f"{PASSED}::TestWhom::test_sender_is_found_however_written",
    ),
    Fault(
        0,
        FORWARDING,
        "    if _has(organisation_id, asked, content):\n        return\n",
        "",
        f"{PASSED}::TestForwarded::test_same_words_again_are_passed_on_once",
    ),
    Fault(
        0,
        FORWARDING,
        "return any(found.words == content.words for row in rows if (found := readable(row)))",
        "return rows.exists()",
        f"{PASSED}::TestForwarded::test_same_words_again_are_passed_on_once",
    ),
    Fault(
        0,
        FORWARDING,
        "frozenset({Role.OWNER, Role.PRIVACY})",
        "frozenset(Role)",
        f"{PASSED}::TestForwarded::test_owners_and_privacy_people_are_told_and_not_of_whom",
    ),
    Fault(
        0,
        FORWARDING,
        "clock = uuid4(), deadlines.clock(enquiry.received_at, now)",
        "clock = uuid4(), deadlines.clock(now, now)",
        f"{PASSED}::TestForwarded::test_clock_counts_from_the_receipt",
    ),
    Fault(
        0,
        PASSING,
        "row.forwarded_at, row.sealed = now, None",
        "row.forwarded_at = now",
        f"{PASSED}::TestForwarded::test_content_is_gone_from_the_enquiry",
    ),
    Fault(
        0,
        "gdpr/enquiries/ourselves.py",
        "received_at=enquiry.received_at,",
        "received_at=now,",
        f"{OURSELVES}::test_request_is_opened_as_received_by_the_form",
    ),
    Fault(
        0,
        "gdpr/enquiries/ourselves.py",
        ", is_active=True)",
        ")",
        f"{OURSELVES}::test_account_that_was_ended_opens_nothing",
    ),
    # The inbox.
    Fault(
        0,
        LINKS,
        'Protect("gdpr_forwardedrequest", web=',
        'Protect("gdpr_forwardedrequest", web_rows="true", web=',
        f"{INBOX}::test_stranger_sees_none_of_it",
    ),
    Fault(
        0,
        "gdpr/enquiries/inbox.py",
        "if row.is_open and row.extended_at is None and deadlines",
        "if row.is_open and deadlines",
        f"{INBOX}::TestActs::test_extension_gives_three_months_once_and_with_reasons",
    ),
    Fault(
        0,
        "gdpr/enquiries/inbox.py",
        "row.closed_at = now if state in ForwardedRequest.FINAL else None",
        "row.closed_at = None",
        f"{INBOX}::test_each_step_is_noted_and_recorded",
    ),
    Fault(
        0,
        "gdpr/enquiries/watch.py",
        "            if stage in STAFF_HEAR:\n",
        "            if False:\n",
        f"{INBOX}::test_clock_is_told_to_the_organisation_and_at_last_to_staff",
    ),
)
