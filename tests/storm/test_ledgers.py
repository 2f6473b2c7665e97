# SPDX-License-Identifier: AGPL-3.0-or-later
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from tests.rig.service import SignIn
from tests.storm.client import Ledger, Letter
from tests.storm.farend import ANY_ROUTE, Copy, Cut, names
from tests.storm.ledgers import Allowed, Ours, Row, compare, gaps_between

ID = "019aa1b2-0000-7000-8000-00000000000"
MARK = "a@bench.example"
ERIK, FREJA = "erik@modtager.example", "freja@modtager.example"
SENT = b"Message-ID: <a@bench.example>\r\n\r\nhej\r\n"
LIVE = SignIn(2525, "live", "secret")
PLAYED = replace(LIVE, is_sandbox=True)


def trace(number: int) -> bytes:
    by = f"\tby relay.example with ESMTP id {ID}{number}; now\r\n"
    return f"Received: from client.example\r\n{by}".encode()


def copy(
    number: int = 1,
    content: bytes = SENT,
    answered_at: float = 1.1,
    recipient: str = ERIK,
    mark: str = MARK,
) -> Copy:
    _, given = names(trace(number))
    return Copy(mark, given, recipient, trace(number) + content, 1.0, answered_at)


def ledger(*recipients: str, sign_in: SignIn = LIVE) -> Ledger:
    return Ledger({MARK: Letter(SENT, recipients or (ERIK,), sign_in)}, {MARK: 1.0})


def row(number: int = 1, recipient: str = ERIK, state: str = "delivered", twice: bool = False):
    return {(f"{ID}{number}", recipient): Row(twice, state)}


OURS = Ours(row())
TWICE = Ours(row(1) | row(2))
FLAGGED = Ours(row(twice=True))
CUT = Cut(1.05, 1.2)


def broken(
    client: Ledger, ours: Ours, copies: list[Copy], in_flight: int = 0, cuts: Sequence[Cut] = (CUT,)
) -> str:
    allowed = Allowed(cuts=cuts, in_flight=in_flight, late=False)
    return " ".join(compare(client, ours, copies, allowed).broken)


def test_one_unaltered_copy_holds():
    assert broken(ledger(), OURS, [copy()]) == ""


def test_one_for_each_recipient_holds():
    both = Ours(row() | row(recipient=FREJA))
    assert broken(ledger(ERIK, FREJA), both, [copy(), copy(recipient=FREJA)]) == ""


NOBODY = "nobody@findes-ikke.example"
HOPELESS = Ledger({MARK: Letter(SENT, (NOBODY,), LIVE)}, {MARK: 1.0})
TOLD = Copy(
    "n@relay.example",
    "",
    "hej@bench.example",
    b"Message-ID: <n@relay.example>\r\n\r\nAction: failed\r\n" + SENT,
    2.0,
    2.1,
    is_notice=True,
)


def ended(state: str = "bounced", tries: int = 1) -> Ours:
    notice = Row(False, "delivered", is_notice=True)
    lost = {(f"{ID}1", NOBODY): Row(False, state, tries=tries)}
    return Ours(lost | {("n@relay.example", "hej@bench.example"): notice})


def test_what_can_go_nowhere_ends_at_its_first_try_and_its_sender_is_told():
    assert broken(HOPELESS, ended(), [TOLD]) == ""
    assert "not ended at the first try" in broken(HOPELESS, ended(tries=2), [TOLD])
    assert "not ended at the first try" in broken(HOPELESS, ended("waiting"), [TOLD])
    assert "ended and nobody told" in broken(HOPELESS, ended(), [])


def test_what_a_provider_put_together_again_has_its_text():
    rebuilt = replace(copy(content=b"X-Ours: 1\r\n" + SENT), is_rebuilt=True)
    assert broken(ledger(), OURS, [rebuilt]) == ""
    other = replace(rebuilt, content=rebuilt.content.replace(b"hej", b"HEJ"))
    assert "altered" in broken(ledger(), OURS, [other])


def test_the_way_that_all_organisations_share_is_nobody_elses():
    assert broken(ledger(), OURS, [replace(copy(), route=ANY_ROUTE)]) == ""


@pytest.mark.parametrize(
    ("ours", "copies", "fault"),
    [
        (OURS, [], "lost"),
        (Ours(row(state="bounced")), [], "ended without need"),
        (OURS, [copy(recipient=FREJA)], "lost"),
        (OURS, [copy(), copy(mark="b@bench.example")], "phantom"),
        (OURS, [copy(), copy(recipient=FREJA)], "phantom"),
        (OURS, [copy(content=SENT.replace(b"hej", b"HEJ"))], "altered"),
        (OURS, [copy(content=b"X-Ours: 1\r\n" + SENT)], "altered"),
        (OURS, [replace(copy(), route=1)], "another organisation's route"),
        (OURS, [copy(), copy()], "duplicates is"),
        (TWICE, [copy(1), copy(2)], "accepted twice without a retry"),
        (replace(OURS, waiting=1), [copy()], "waiting at the end"),
        (replace(OURS, without_due_time=1), [copy()], "without a due time"),
        (replace(OURS, stranded=1), [copy()], "neither final nor waiting"),
        (replace(OURS, content_rows=1), [copy()], "content rows"),
        (replace(OURS, content_not_destroyed=1), [copy()], "content not destroyed"),
        (replace(OURS, miscounted=1), [copy()], "figures that differ from the log"),
        (OURS, [copy(2)], "not at the far end"),
        (replace(OURS, rows={}), [copy()], "not called delivered"),
        # The first step is a minute, the second five, a fifth more or less.
        (replace(OURS, gaps=[(1, 42.0)]), [copy()], "tries too early"),
        (replace(OURS, gaps=[(1, 93.0)]), [copy()], "tries too late"),
        (replace(OURS, gaps=[(2, 100.0)]), [copy()], "tries too early"),
    ],
)
def test_a_fault_in_the_ledgers_is_named(ours: Ours, copies: list[Copy], fault: str):
    assert fault in broken(ledger(), ours, copies)


def test_tries_on_time_hold():
    gaps = [(1, 48.0), (1, 72.0), (2, 300.0), (9, 4 * 3600.0)]
    assert broken(ledger(), replace(OURS, gaps=gaps), [copy()]) == ""


def test_sandbox_mail_stays():
    client = ledger(sign_in=PLAYED)
    stayed = Ours({(f"{ID}1", ERIK): Row(False, "sandboxed", is_sandbox=True)})
    assert broken(client, stayed, []) == ""
    assert "left the sandbox" in broken(client, stayed, [copy()])
    sent = Ours({(f"{ID}1", ERIK): Row(False, "delivered", is_sandbox=True)})
    assert "of the sandbox, not called so" in broken(client, sent, [])


def notice(action: bytes, about: bytes = SENT) -> Copy:
    content = b"Message-ID: <own@relay.example>\r\n\r\nAction: " + action + b"\r\n\r\n" + about
    return Copy("own@relay.example", "", "hej@bench.example", content, 1.0, 1.1, is_notice=True)


def test_mail_whose_sender_was_told_of_its_end_is_not_lost_where_it_may_end():
    ended = Ours(row(state="expired"))
    told = compare(ledger(), ended, [notice(b"failed")], Allowed(ends=True))
    assert told.broken == []
    assert "told that it failed" in broken(ledger(), ended, [notice(b"failed")])
    assert "lost" in broken(ledger(), ended, [notice(b"delayed")])
    assert "lost" in broken(ledger(), ended, [notice(b"failed", b"Message-ID: <other>\r\n")])


def test_mail_that_ends_with_its_dot_under_way_is_called_possibly_there():
    told, said = [copy(), notice(b"failed")], "not called delivered"
    flagged, certain = (Ours(row(state="expired", twice=twice)) for twice in (True, False))
    assert said not in " ".join(compare(ledger(), flagged, told, Allowed(ends=True)).broken)
    assert said in " ".join(compare(ledger(), certain, told, Allowed(ends=True)).broken)
    assert said in broken(ledger(), flagged, told)


@pytest.mark.parametrize(
    ("put_back", "gaps"), [([], [(1, 30.0)]), ([15.0], []), ([41.0], [(1, 30.0)])]
)
def test_a_clock_that_was_put_back_between_two_tries_says_nothing(put_back, gaps):
    attempts = [("a.1", 1, 9.0, 10.0), ("a.1", 2, 40.0, 40.5)]
    assert list(gaps_between(attempts, put_back)) == gaps


def test_a_notice_that_is_called_delivered_lies_there():
    rows = row() | {(f"{ID}9", "hej@bench.example"): Row(False, "delivered", is_notice=True)}
    assert "notices not at the far end" in broken(ledger(), Ours(rows), [copy()])
    assert broken(ledger(), Ours(rows), [copy(), notice(b"delayed")]) == ""


def test_a_refusal_for_good_during_a_fault_is_named():
    client = ledger()
    client.refusals[550] += 1
    assert "5xx" in broken(client, OURS, [copy()])


def test_a_duplicate_must_be_flagged_even_when_it_was_in_flight():
    assert "not flagged" in broken(ledger(), OURS, [copy(), copy()], in_flight=1)
    assert broken(ledger(), FLAGGED, [copy(), copy()], in_flight=1) == ""


def test_a_transaction_with_several_recipients_is_one_duplicate():
    both = Ours(row(twice=True) | row(recipient=FREJA, twice=True))
    copies = [copy(), copy(recipient=FREJA)]
    again = [replace(one, begun_at=2.0) for one in copies]
    assert broken(ledger(ERIK, FREJA), both, [*copies, *again], in_flight=1) == ""


def test_a_client_that_was_unsure_may_be_accepted_twice():
    client = ledger()
    client.uncertain[MARK] += 1
    assert broken(client, TWICE, [copy(1), copy(2)]) == ""


NEVER = float("inf")


@pytest.mark.parametrize(
    ("since", "until", "answered_at", "ambiguous"),
    [
        (1.05, 1.2, 1.1, True),
        (0.1, 0.9, 1.1, False),  # over before the transaction began
        (2.05, 2.2, 1.1, True),  # our answer may not have been noted yet
        (2.2, 2.3, 1.1, False),
        (900.0, 901.0, NEVER, True),
    ],
)
def test_a_second_copy_needs_a_strike_that_met_the_first(
    since: float, until: float, answered_at: float, ambiguous: bool
):
    copies = [copy(answered_at=answered_at), copy()]
    found = broken(ledger(), FLAGGED, copies, in_flight=9, cuts=[Cut(since, until)])
    assert found == (
        "" if ambiguous else "duplicates of a certain delivery is 1, at most 0 allowed"
    )


def test_a_third_copy_needs_that_the_second_was_met_as_well():
    met, sure = copy(), replace(copy(), begun_at=5.0, answered_at=5.1)
    assert broken(ledger(), FLAGGED, [met, met, sure], in_flight=9) == ""
    assert "duplicates of a certain delivery is 1" in broken(
        ledger(), FLAGGED, [met, sure, sure], in_flight=9
    )
