# SPDX-License-Identifier: AGPL-3.0-or-later
"""Faults in requests: whose they are, who approves, what runs by itself and when it is due."""

from __future__ import annotations

from tests.planted.fault import Fault

CLAIMS, DECIDING, INTAKE = "gdpr/claims.py", "gdpr/deciding.py", "gdpr/intake.py"
APPROVALS, REQUESTS = "gdpr/approvals.py", "gdpr/requests.py"
CLAIMED = "tests/gdpr/test_claims.py"
APPROVED = "tests/gdpr/test_approvals.py"
TAKEN_IN = "tests/gdpr/test_intake.py"

FAULTS = (
    # Unproven: it takes nothing further and stops nothing.
    Fault(
        0,
        REQUESTS,
        "if row.request.proven_at is None and state not in UNPROVEN:",
        "if False:",
        f"{CLAIMED}::TestUnproven::test_no_act_takes_it_further",
    ),
    Fault(
        0,
        CLAIMS,
        "confirmed_at__isnull=False, request__proven_at=None",
        "request__proven_at=None",
        f"{CLAIMED}::TestLink::test_reading_changes_nothing_and_posting_proves_it",
    ),
    Fault(
        0,
        CLAIMS,
        "LIFE = timedelta(days=CLAIM_DAYS)",
        "LIFE = timedelta(days=CLAIM_DAYS - 1)",
        f"{CLAIMED}::TestLink::test_silence_ends_it_and_leaves_no_words",
    ),
    Fault(
        0,
        "gdpr/escalation.py",
        "    paused = paused.exclude(request__proven_at=None)\n",
        "",
        f"{CLAIMED}::TestLink::test_nobody_is_reminded_of_it",
    ),
    Fault(
        0,
        REQUESTS,
        "automatic(held.channel) - running(user.id) if user",
        "automatic(held.channel) if user",
        f"{CLAIMED}::TestEvidence::test_what_is_under_way_is_not_done_twice",
    ),
    # Two people.
    Fault(
        0,
        APPROVALS,
        "if row.asked_by_id == by.pk:",
        "if False:",
        f"{APPROVED}::test_who_asked_does_not_approve",
    ),
    Fault(
        0,
        APPROVALS,
        "if row.decided_at is not None:",
        "if False:",
        f"{APPROVED}::test_what_was_let_go_is_approved_by_nobody",
    ),
    Fault(
        0,
        APPROVALS,
        "if not is_officer(by):",
        "if False:",
        f"{APPROVED}::test_support_does_not_approve",
    ),
    Fault(
        0,
        APPROVALS,
        " | Q(email=normalised(settings.PRIVACY_DEPUTY))",
        "",
        f"{APPROVED}::TestNoDeadEnd::test_deputy_approves_what_the_only_officer_asked_for",
    ),
    Fault(
        0,
        DECIDING,
        "    if unapproved:\n        allowed = allowed - {State.ACT}\n",
        "",
        f"{APPROVED}::test_nothing_runs_before_somebody_else_has_approved",
    ),
    Fault(
        0,
        DECIDING,
        '    row = RequestedRight.objects.select_related("request").get(pk=approval.subject_id)\n'
        "    if row.request.person_id == by.pk:\n",
        '    row = RequestedRight.objects.select_related("request").get(pk=approval.subject_id)\n'
        "    if False:\n",
        f"{APPROVED}::test_nobody_approves_their_own",
    ),
    Fault(
        0,
        "gdpr/secondlooks.py",
        "if first_deciders(row).filter(pk=by.pk).exists():",
        "if False:",
        "tests/gdpr/test_second_looks.py::test_first_decider_decides_nothing_of_it",
    ),
    # What runs by itself, once, and for its own person.
    Fault(
        0,
        "gdpr/carrying.py",
        "right__in=list(BEGUN), begun_at=None)",
        "right__in=list(BEGUN))",
        f"{TAKEN_IN}::test_each_is_begun_once",
    ),
    Fault(
        0,
        INTAKE,
        "for right, words in rights.items() if right not in under_way}",
        "for right, words in rights.items()}",
        f"{TAKEN_IN}::test_what_is_under_way_is_left_out_and_the_rest_opened",
    ),
    Fault(
        0,
        "gdpr/rights/review.py",
        "Review.objects.filter(organisation_id__in=owners, asked_at__isnull=False)",
        "Review.objects.filter(asked_at__isnull=False)",
        "tests/gdpr/test_reviews.py::test_another_organisations_mail_stays_stopped",
    ),
    # Clocks and words.
    Fault(
        0,
        INTAKE,
        "if received_at > now:",
        "if False:",
        f"{TAKEN_IN}::test_future_is_refused",
    ),
    Fault(
        0,
        "gdpr/deadlines.py",
        "promised_on=min(promised, end)",
        "promised_on=promised",
        "tests/gdpr/test_deadlines.py::test_promise_is_never_later_than_the_limit",
    ),
    Fault(
        0,
        "gdpr/clocks.py",
        "unproven=sum(row.request.proven_at is None for row in rows)",
        "unproven=0",
        "tests/gdpr/test_clock_journeys.py::test_board_counts_where_the_clocks_stand",
    ),
    Fault(
        0,
        "gdpr/forms.py",
        'if right in chosen and not data.get(right, "").strip():',
        "if False:",
        "tests/gdpr/test_views_requests.py"
        "::TestBundle::test_what_has_to_be_explained_is_asked_near_its_field",
    ),
)
