# SPDX-License-Identifier: AGPL-3.0-or-later
"""Where engine data goes, also below a home that is closed to others."""

from __future__ import annotations

import os

import pytest

from config.stack import places
from config.stack.failure import StackError
from config.stack.places import Account, engine_account, engine_home, forget_everything


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.setattr(places, "SYSTEM_STATE", tmp_path / "state")
    # pytest's own directories are closed to others.
    for parent in (tmp_path, *tmp_path.parents):
        if parent.name.startswith(("test_", "popen-", "pytest-")):
            parent.chmod(0o711)
    return tmp_path / "state"


def test_engine_data_stays_in_var_when_the_engines_user_can_get_there(tmp_path, elsewhere):
    home = engine_home("engines", engine_account(), root=tmp_path)
    assert home == tmp_path / "var" / "engines"
    assert not elsewhere.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root hands the engines to somebody else")
def test_engine_data_of_a_closed_home_goes_elsewhere_and_reset_clears_both(tmp_path, elsewhere):
    closed = tmp_path / "root"
    closed.mkdir(mode=0o700)

    home = engine_home("engines", engine_account(), root=closed)

    assert home.is_relative_to(elsewhere)
    assert (closed / "var" / "engines").resolve() == home
    assert engine_account().reaches(home)
    assert engine_home("engines", engine_account(), root=closed) == home
    forget_everything(closed)
    assert not home.exists()
    assert not (closed / "var").exists()


def test_closed_home_is_no_obstacle_to_its_own_user(tmp_path, elsewhere):
    (tmp_path / "home").mkdir(mode=0o700)
    home = engine_home("engines", Account(name=None), root=tmp_path / "home")
    assert home == tmp_path / "home" / "var" / "engines"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root hands the engines to somebody else")
def test_data_behind_a_door_that_was_closed_later_says_what_to_do(tmp_path, elsewhere):
    engine_home("engines", engine_account(), root=tmp_path)
    tmp_path.chmod(0o700)
    with pytest.raises(StackError, match="make reset"):
        engine_home("engines", engine_account(), root=tmp_path)
