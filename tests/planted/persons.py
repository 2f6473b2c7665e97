# SPDX-License-Identifier: AGPL-3.0-or-later
"""Faults in what obeys a person's restriction, objection and correction, and in who hears of it."""

from __future__ import annotations

from tests.planted.fault import Fault

# Where the code and the tests are.
RESTRICTION, OBJECTION = "gdpr/rights/restriction.py", "gdpr/rights/objection.py"
RECTIFICATION, PROPAGATION = "gdpr/rights/rectification.py", "gdpr/propagation.py"
RIGHTS, TOLD = "tests/gdpr/test_restriction.py", "tests/gdpr/test_propagation.py"
SILENCED = "tests/gdpr/test_silenced.py"

FAULTS = (
    Fault(
        0,
        "accounts/emails.py",
        "if user.restricted_at and not _goes_while_restricted(kind):",
        "if False:",
        f"{RIGHTS}::test_mail_that_is_not_about_rights_or_security_stays",
    ),
    Fault(
        0,
        "accounts/admin.py",
        "if row is not None and row.restricted_at and not form.is_valid():",
        "if not form.is_valid() and row is None:",
        f"{RIGHTS}::test_staff_look_at_a_restricted_person_for_a_reason_alone",
    ),
    Fault(
        0,
        "accounts/admin.py",
        'gettext("restricted") if row.restricted_at else row.get_full_name()',
        "row.get_full_name()",
        f"{RIGHTS}::test_staff_look_at_a_restricted_person_for_a_reason_alone",
    ),
    Fault(
        0,
        RESTRICTION,
        'first = in_force(person).aggregate(first=Min("restricted_at"))["first"]',
        "first = None",
        f"{RIGHTS}::test_restriction_lasts_until_its_last_ground_ends",
    ),
    Fault(
        0,
        RESTRICTION,
        "in_force(person).exclude(ground=Ground.COOL_DOWN)",
        "in_force(person)",
        f"{RIGHTS}::test_restriction_lasts_until_its_last_ground_ends",
    ),
    Fault(
        0,
        RESTRICTION,
        "filter(lifted_at=None, ends_at__lte=now)",
        "filter(lifted_at=None, ends_at__isnull=False)",
        f"{RIGHTS}::test_contested_accuracy_restricts_until_it_is_decided_and_told",
    ),
    Fault(
        0,
        OBJECTION,
        "consents.withdraw_all(person, Consent.Channel.REQUEST)",
        "pass",
        f"{RIGHTS}::test_objection_to_marketing_is_done_at_once_and_restricts_nothing",
    ),
    Fault(
        0,
        OBJECTION,
        "restriction.impose(person, Ground.OBJECTION, now, right=right)",
        "pass",
        f"{RIGHTS}::test_objection_restricts_until_it_is_weighed",
    ),
    Fault(
        0,
        RECTIFICATION,
        "if wish.restrict and right.request.person is not None:",
        "if False:",
        f"{RIGHTS}::test_contested_accuracy_restricts_until_it_is_decided_and_told",
    ),
    Fault(
        0,
        RECTIFICATION,
        'before = str(getattr(person, name)) if correction.field else ""',
        'before = ""',
        f"{RIGHTS}::test_staff_see_what_would_change",
    ),
    Fault(
        0,
        "gdpr/closing.py",
        "restriction.settle(row, clock.now())",
        "pass",
        f"{RIGHTS}::test_who_takes_the_correction_back_is_restricted_no_more",
    ),
    Fault(
        0,
        PROPAGATION,
        "return Cause(change, cause_id, person.pk, at, day_of(person.created_at), person)",
        "return Cause(change, cause_id, person.pk, at, date(2000, 1, 1), person)",
        f"{TOLD}::test_whoever_had_the_data_hears_of_a_correction_once",
    ),
    Fault(
        0,
        PROPAGATION,
        "PersonRestriction.objects.exclude(ground=PersonRestriction.Ground.COOL_DOWN)",
        "PersonRestriction.objects.all()",
        f"{TOLD}::test_restriction_and_its_end_are_told_and_a_time_to_think_is_not",
    ),
    Fault(
        0,
        "gdpr/erasing/steps.py",
        "    if not erasure.is_repeat:\n        _tell_recipients(work)",
        "    if erasure.is_repeat:\n        _tell_recipients(work)",
        "tests/gdpr/erasing/test_notices.py::"
        "test_recipients_hear_of_an_erasure_by_the_number_of_the_account",
    ),
    Fault(
        0,
        "gdpr/erasing/steps.py",
        "date.fromisoformat(carried.since)",
        "date(2000, 1, 1)",
        "tests/gdpr/erasing/test_notices.py::test_none_hears_of_an_erasure_but_who_had_the_data",
    ),
    Fault(
        0,
        "gdpr/recipients.py",
        "return row.starts_on <= on and (row.ends_on is None or row.ends_on > since)",
        "return row.ends_on is None or row.ends_on > since",
        "tests/gdpr/erasing/test_notices.py::test_none_hears_of_an_erasure_but_who_had_the_data",
    ),
    Fault(
        0,
        PROPAGATION,
        "return day_of(self.at)",
        "return day_of(self.at + LOOKED_BACK)",
        f"{TOLD}::test_supplier_that_came_after_it_is_not_told",
    ),
    Fault(
        0,
        PROPAGATION,
        "return _tell_due(now) if mine else 0",
        "return _tell_due(now)",
        f"{TOLD}::test_one_worker_tells_at_a_time",
    ),
    Fault(
        0,
        PROPAGATION,
        'corrected.select_related("request__person")',
        "corrected",
        f"{TOLD}::test_many_causes_cost_no_more_queries_than_one",
    ),
    Fault(
        0,
        "gdpr/tasks.py",
        "    restriction.watch()\n",
        "",
        f"{SILENCED}::"
        "test_staff_hear_of_it_once_the_last_owner_is_restricted_and_until_one_can_act",
    ),
    Fault(
        0,
        "accounts/roster.py",
        "~Exists(owners.filter(user__restricted_at=None)),",
        "",
        f"{SILENCED}::"
        "test_staff_hear_of_it_once_the_last_owner_is_restricted_and_until_one_can_act",
    ),
    Fault(
        0,
        RESTRICTION,
        "alerts.resolve_others(SILENCED, found)",
        "pass",
        f"{SILENCED}::"
        "test_staff_hear_of_it_once_the_last_owner_is_restricted_and_until_one_can_act",
    ),
    Fault(
        0,
        "accounts/roster.py",
        "        user__is_active=True,\n",
        "",
        f"{SILENCED}::test_owner_who_cannot_act_is_not_counted",
    ),
    Fault(
        0,
        "templates/gdpr/objection.html",
        '  {% include "gdpr/_alone.html" %}\n',
        "",
        f"{SILENCED}::test_only_owner_is_told_what_it_means_and_is_not_refused",
    ),
    Fault(
        0,
        "gdpr/views/restriction.py",
        "@step_up_required\n@refusals_to(PAGE)\ndef restriction_end",
        "@refusals_to(PAGE)\ndef restriction_end",
        f"{RIGHTS}::test_beginning_and_ending_it_need_a_fresh_step_up",
    ),
    Fault(
        0,
        "gdpr/telling.py",
        '        "account": account,\n',
        '        "account": row.person.email if row.person else account,\n',
        f"{TOLD}::test_whoever_had_the_data_hears_of_a_correction_once",
    ),
)
