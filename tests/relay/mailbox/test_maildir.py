# SPDX-License-Identifier: AGPL-3.0-or-later
from __future__ import annotations

import os

import pytest

from relay.mailbox import maildir
from relay.mailbox.maildir import Maildir
from tests.relay.mailbox.letters import CONTENT, ENVELOPE, LETTER, kept
from tests.testbed.loop import on_both_loops


@on_both_loops
async def test_mail_is_synced_before_it_is_confirmed(tmp_path, monkeypatch):
    keeper, order = Maildir(tmp_path), []
    fsync = os.fsync

    def recorded(number: int) -> None:
        fsync(number)
        order.append("synced")

    monkeypatch.setattr(os, "fsync", recorded)
    await keeper.keep(LETTER)
    order.append("confirmed")
    assert order == ["synced", "confirmed"]
    assert kept(tmp_path) == [(ENVELOPE, CONTENT)]
    await keeper.finish()


@pytest.mark.parametrize(
    "ending",
    [b"", b'{"name": "x", "size": 100, "envelope": "{}"}\nshort', b'{"name": "x", "si'],
)
@on_both_loops
async def test_files_lost_in_a_power_cut_come_back_from_the_journal(tmp_path, ending):
    keeper = Maildir(tmp_path)
    for _ in range(3):
        await keeper.keep(LETTER)
    first, *_, last = sorted(path for path in (tmp_path / "new").iterdir())
    for path in (tmp_path / "new").iterdir():
        if path.suffix != ".json":
            path.write_bytes(b"")
    last.unlink()
    with (tmp_path / "journal").open("ab") as journal:
        journal.write(ending)
    keeper._journal.close()
    again = Maildir(tmp_path)
    assert kept(tmp_path) == [(ENVELOPE, CONTENT)] * 3
    assert first.exists()
    await again.finish()
    assert not (tmp_path / "journal").exists()


@on_both_loops
async def test_journal_starts_over_when_it_has_grown(tmp_path, monkeypatch):
    monkeypatch.setattr(maildir, "MAX_JOURNAL", 10)
    keeper = Maildir(tmp_path)
    await keeper.keep(LETTER)
    await keeper.keep(LETTER)
    assert (tmp_path / "journal").stat().st_size == 0
    await keeper.finish()
    assert len(kept(tmp_path)) == 2
