# SPDX-License-Identifier: AGPL-3.0-or-later
"""Faults in keeping mail and bringing it on its way: behaviours 20 to 27."""

from __future__ import annotations

from tests.planted.fault import Fault

LEASES = "tests/relay/queue/test_leases.py"
CLAIMS = "tests/relay/queue/test_statements.py"
SHIFT = "tests/relay/test_shift.py"
SWEEPING = "tests/relay/test_sweeping.py"
QUARANTINE, SUSPECTS = "relay/quarantine.py", "tests/relay/test_quarantine.py"
HOLDING, HELD = "relay/holding.py", "tests/relay/test_holding.py"

FAULTS = (
    Fault(
        20,
        "relay/shift.py",
        "async with asyncio.timeout_at(self._round_at):",
        "async with asyncio.timeout(None):",
        f"{SHIFT}::test_shift_works_without_redis",
    ),
    Fault(
        20,
        "relay/sweeping.py",
        "d.state = 'waiting'\n",
        "d.state = 'delivered'\n",
        f"{SWEEPING}::test_delivery_that_waits_in_the_log_alone_is_told",
    ),
    Fault(
        21,
        "relay/queue/claiming.py",
        " AND (q.lease_expires_at IS NULL OR q.lease_expires_at < %(now)s)",
        "",
        f"{LEASES}::test_two_claimers_never_share_a_delivery",
    ),
    Fault(
        21,
        "gdpr/views/requests.py",
        "countdown=1",
        "countdown=3600",
        "tests/guards/test_countdowns.py::test_no_task_is_put_off_for_long",
    ),
    Fault(
        22,
        "relay/queue/claiming.py",
        "possible_duplicate = q.possible_duplicate OR q.dot_at IS NOT NULL,\n"
        "        strikes = q.strikes + CASE",
        "strikes = q.strikes + CASE",
        f"{LEASES}::test_crash_is_reclaimed_and_flagged_only_after_the_dot",
    ),
    Fault(
        22,
        "relay/smtp/transaction.py",
        "await self._on_dot(tuple(self._accepted))",
        "await self._on_dot(tuple(self._message.recipients))",
        "tests/relay/smtp/test_client_dot.py::test_mark_is_of_those_whom_the_server_took",
    ),
    Fault(
        22,
        "relay/routing.py",
        "await cursor.execute(ROUTES,",
        'await connection.execute("BEGIN")\n            await cursor.execute(ROUTES,',
        "tests/relay/test_delivery_turns.py::test_no_transaction_is_open_while_a_server_is_silent",
    ),
    Fault(
        23,
        "relay/queue/statements.py",
        "WHERE q.id = held.id AND q.fence = held.fence AND q.lease_owner = %(owner)s\n",
        "WHERE q.id = held.id AND %(owner)s::uuid IS NOT NULL\n",
        f"{LEASES}::test_lease_is_kept_by_its_owner",
    ),
    Fault(
        23,
        "relay/queue/settling.py",
        "ON q.id = s.id AND q.fence = s.fence AND q.lease_owner = %(owner)s",
        "ON q.id = s.id AND %(owner)s::uuid IS NOT NULL",
        f"{LEASES}::test_late_worker_changes_nothing",
    ),
    Fault(
        23,
        "relay/queue/leases.py",
        "if any(isinstance(item, PutOffNext) for item in items):",
        "if not items:",
        f"{LEASES}::test_mail_behind_the_unreadable_is_not_struck_when_a_commit_is_uncertain",
    ),
    Fault(
        24,
        "relay/smtp/transaction.py",
        "for index in self._accepted:\n            self.outcomes[index] = outcome",
        "for index in self._message.recipients:\n            self.outcomes[index] = outcome",
        "tests/relay/smtp/test_client.py::test_each_recipient_has_its_own_outcome",
    ),
    Fault(
        24,
        "relay/outcomes.py",
        "if outcome.verdict is Verdict.BOUNCED:",
        "if False:",
        "tests/relay/test_delivery_turns.py::test_each_recipient_goes_its_own_way",
    ),
    Fault(
        25,
        "relay/smtp/schedule.py",
        "(1, 5, 15, 30, 60, 120, 240)",
        "(1, 5, 15, 30, 60, 120, 300)",
        "tests/relay/smtp/test_schedule.py::test_steps_follow_the_published_table",
    ),
    Fault(
        25,
        "relay/turns.py",
        "max((self._free - 2 * in_hand) // 3, 0 if in_hand else 1)",
        "self._free",
        "tests/relay/test_turns.py::test_however_many_are_silent_a_new_one_is_served",
    ),
    Fault(
        25,
        "relay/turns.py",
        "return turn not in self._full",
        "return self._room(turn) > 0",
        "tests/relay/test_turns.py::test_room_that_comes_during_a_claim_does_not_end_a_backlog",
    ),
    Fault(
        25,
        "relay/queue/claiming.py",
        "greatest(0, t.take - t.reserve - t.ends)",
        "greatest(0, t.take / 2)",
        f"{CLAIMS}::test_new_mail_goes_before_mail_that_was_tried_and_does_not_starve_it",
    ),
    Fault(
        25,
        "relay/permits.py",
        "WHERE pg_try_advisory_lock(n) LIMIT 1",
        "WHERE pg_try_advisory_lock(-n) IS NOT NULL LIMIT 1",
        "tests/relay/test_permits.py::test_two_shifts_together_keep_to_the_limit_of_a_route",
    ),
    Fault(
        25,
        "relay/permits.py",
        "f\"SELECT pg_notify('{CHANNEL}', %s)\"",
        '"SELECT %s::text"',
        "tests/relay/test_permits.py::test_idle_connections_make_room_for_a_busy_worker",
    ),
    Fault(
        25,
        "relay/retrying.py",
        ".filter(reason=Hold.Reason.RESTING).delete()",
        ".filter(reason=Hold.Reason.RESTING).count()",
        "tests/relay/test_direct.py::test_what_was_left_alone_goes_by_another_route_at_once",
    ),
    Fault(
        25,
        "relay/resting.py",
        "WHEN failures + 1 >= %(failures)s THEN",
        "WHEN failures + 1 >= 1000 THEN",
        "tests/relay/test_resting.py::"
        "test_a_dead_server_gets_few_connections_whatever_waits_and_is_found_again",
    ),
    Fault(
        25,
        "relay/routing.py",
        "concurrency=1 if careful else chosen.concurrency",
        "concurrency=chosen.concurrency",
        "tests/relay/test_resting.py::test_failures_in_a_row_rest_a_route_longer_and_longer",
    ),
    Fault(
        25,
        "relay/delivery.py",
        "if target.rate is not None:",
        "if target.rate == 0:",
        "tests/relay/test_pacing.py::test_a_route_carries_its_rate_and_the_rest_waits_as_a_set",
    ),
    Fault(
        25,
        QUARANTINE,
        "call_later(self._place_seconds, place.close)",
        "call_later(3600, place.close)",
        f"{SUSPECTS}::test_silent_servers_do_not_stop_the_suspects_of_others",
    ),
    Fault(
        25,
        QUARANTINE,
        "async with self._each[work.organisation_id], self._place():",
        "async with self._place():",
        f"{SUSPECTS}::test_silent_servers_do_not_stop_the_suspects_of_others",
    ),
    Fault(
        25,
        "relay/hops.py",
        "await self.permits.give(permit)\n            raise",
        "raise",
        "tests/relay/test_resting.py::test_a_look_that_fails_keeps_no_permit_of_a_failing_route",
    ),
    Fault(
        25,
        "relay/transports/seats.py",
        "if seat.permit.is_lost or self._are_too_many():",
        "if self._are_too_many():",
        "tests/relay/transports/test_seats.py::"
        "test_a_connection_whose_permit_is_lost_carries_no_further_message",
    ),
    Fault(
        26,
        "relay/routing.py",
        "WHERE id = %s AND version = %s AND paused_at IS NULL",
        "WHERE id = %s AND version >= %s AND paused_at IS NULL",
        "tests/relay/test_routing.py::test_a_route_that_was_changed_meanwhile_is_not_paused",
    ),
    Fault(
        26,
        "relay/queue/statements.py",
        "due_at = CASE WHEN q.cancelled_at IS NULL THEN struck.due_at ELSE q.due_at END",
        "due_at = struck.due_at",
        f"{SUSPECTS}::test_what_is_cancelled_in_hand_ends_at_once_though_it_is_struck",
    ),
    Fault(
        26,
        "relay/queue/claiming.py",
        "WHERE ends_at IS NULL OR ends_at > %(now)s",
        "WHERE false",
        f"{CLAIMS}::test_held_mail_is_left_alone_until_its_hold_ends",
    ),
    Fault(
        26,
        "relay/queue/statements.py",
        "AND q.lease_owner = %(owner)s AND q.cancelled_at IS NULL",
        "AND q.lease_owner = %(owner)s",
        "tests/relay/test_cancelling.py::test_mail_in_hand_is_cancelled_before_its_dot",
    ),
    Fault(
        26,
        "relay/routing.py",
        "return not isinstance(chosen, Waits)",
        "return True",
        "tests/relay/test_delivery_turns.py::"
        "test_mail_of_a_paused_route_is_left_alone_and_goes_when_it_is_resumed",
    ),
    Fault(
        26,
        "relay/outcomes.py",
        " or (lease.is_ending and now >= lease.expires_at)",
        "",
        f"{SWEEPING}::test_mail_that_is_held_at_its_end_is_not_sent",
    ),
    Fault(
        26,
        "relay/sweeping.py",
        "make_interval(hours => %(least)s)",
        "make_interval(hours => o.queue_lifetime_hours + %(least)s)",
        f"{SWEEPING}::test_mail_ends_at_its_time_whatever_later_mail_is_given",
    ),
    Fault(
        26,
        "relay/sweeping.py",
        "SET lane = %(ending)s, due_at = %(now)s\nFROM locked",
        "SET due_at = %(now)s\nFROM locked",
        f"{SWEEPING}::test_mail_that_nobody_takes_comes_to_its_end_when_its_lifetime_is_over",
    ),
    Fault(
        26,
        "relay/queue/claiming.py",
        " OR (q.organisation_id, {RECIPIENT_DOMAIN}) NOT IN",
        " OR ('00000000-0000-0000-0000-000000000000'::uuid, {RECIPIENT_DOMAIN}) NOT IN",
        f"{CLAIMS}::test_hold_on_where_mail_goes_leaves_other_recipients_and_organisations_alone",
    ),
    Fault(
        26,
        HOLDING,
        'put_off = Q(due_at=F("expires_at"),',
        'put_off = Q(due_at__lt=F("expires_at"),',
        f"{HELD}::test_message_is_held_and_released",
    ),
    Fault(
        26,
        HOLDING,
        "Hold.objects.select_for_update().filter(_lasting(now), id=row.id).exists()",
        "row.id",
        f"{HELD}::test_message_released_while_holds_are_settled_is_not_put_off_again",
    ),
    Fault(
        26,
        HOLDING,
        "Q(id__in=[row.id for row in ended])",
        "Q()",
        f"{HELD}::test_domain_released_while_holds_are_settled_is_let_go_by_the_next",
    ),
    Fault(
        26,
        "relay/reasons.py",
        "ELSE coalesce(shut.reason, q.reason) END",
        "ELSE q.reason END",
        "tests/relay/test_waitlist.py::test_route_that_takes_nothing_is_the_reason",
    ),
    Fault(
        26,
        "relay/scopes.py",
        "return rows.filter(domain=self.domain)",
        "return rows.all()",
        "tests/relay/test_cancelling.py::test_a_domains_mail_is_cancelled_or_all",
    ),
    Fault(
        27,
        "relay/queue/settling.py",
        "WHERE c.message_id = counted.message_id AND counted.open <= 0",
        "WHERE c.message_id = counted.message_id AND counted.open < 0",
        f"{LEASES}::test_last_final_state_destroys_the_content",
    ),
    Fault(
        27,
        "relay/sweeping.py",
        "DELETE FROM relay_content c WHERE c.message_id IN (SELECT message_id FROM ended)",
        "DELETE FROM relay_content c WHERE c.message_id IN (SELECT message_id FROM ended LIMIT 0)",
        f"{SWEEPING}::test_mail_of_a_closed_organisation_ends_at_once",
    ),
    Fault(
        27,
        "relay/sweeping.py",
        "SELECT locked.* FROM locked WHERE found = (\n"
        "        SELECT count(*) FROM relay_queueddelivery q"
        " WHERE q.message_id = locked.message_id)",
        "SELECT locked.* FROM locked",
        f"{SWEEPING}::test_message_of_which_somebody_holds_a_row_does_not_end_in_parts",
    ),
    Fault(
        27,
        "relay/sweeping.py",
        "WHERE q.lease_expires_at IS NULL OR q.lease_expires_at < %(now)s\nORDER BY q.id",
        "ORDER BY q.id",
        f"{SWEEPING}::test_rows_changed_just_before_their_locks_end_as_a_whole_or_not_at_all",
    ),
    Fault(
        27,
        "relay/upkeep.py",
        "return Content.objects.filter(~Exists(waiting))",
        "return Content.objects.filter(Exists(waiting))",
        "tests/relay/test_upkeep.py::test_content_that_nothing_waits_for_is_reaped_and_told",
    ),
)
