# SPDX-License-Identifier: AGPL-3.0-or-later
"""Every check of the inventory, each against a fault that is planted for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from django.apps import apps
from django.core.management import call_command
from django.core.management.base import SystemCheckError
from django.test import override_settings

from gdpr import checks
from gdpr.inventory import ENTRIES, STORES, entry
from gdpr.inventory.accounts import (
    AUDIT_EVENT,
    BACKUP_CODE,
    INVITATION,
    MEMBERSHIP,
    SESSION,
    USER,
)
from gdpr.inventory.dpa import AGREEMENT, DOCUMENT
from gdpr.inventory.framework import LOG_ENTRY
from gdpr.inventory.relay import ATTEMPT, MESSAGE
from gdpr.inventory.stores import BACKUPS, VAULT
from gdpr.registry import (
    Entry,
    Eraser,
    Keep,
    Law,
    NotPersonal,
    Personal,
    Store,
    SubjectPath,
    days,
)

USER_PATH, *_ = USER.paths


def found(*entries: Entry, stores: tuple[Store, ...] = STORES) -> set[str]:
    changed = {item.model: item for item in entries}
    inventory = [changed.get(item.model, item) for item in ENTRIES]
    return {str(error.id) for error in checks.faults(inventory, stores)}


def test_inventory_is_whole() -> None:
    assert checks.check_inventory() == []
    assert len(ENTRIES) == len(apps.get_models(include_auto_created=True))


def test_act_of_an_outer_app_that_does_not_resolve(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gdpr.recipients.EARLIEST_START", "dpa.objection:no_such_act")
    (error,) = checks.check_inventory()
    assert (error.id, "no_such_act" in error.msg) == ("gdpr.E011", True)


def test_model_without_an_entry() -> None:
    errors = list(checks.faults([item for item in ENTRIES if item is not USER], STORES))
    assert [error.id for error in errors] == ["gdpr.E001"]
    assert "accounts.User" in errors[0].msg
    assert errors[0].hint


def test_entry_without_a_model() -> None:
    assert "gdpr.E002" in {e.id for e in checks.faults([*ENTRIES, replace(USER, model="a.B")], ())}


def test_two_entries_of_one_model() -> None:
    assert "gdpr.E003" in {error.id for error in checks.faults([*ENTRIES, USER], STORES)}


@pytest.mark.parametrize("name", [name for name in USER.names if name != "groups"])
def test_field_that_nobody_has_classified(name: str) -> None:
    fields = tuple(item for item in USER.fields if getattr(item, "name", "") != name)
    if len(fields) == len(USER.fields):
        fields = tuple(item for item in fields if isinstance(item, Personal))
    assert "gdpr.E004" in found(replace(USER, fields=fields))


@pytest.mark.parametrize(
    ("number", "fault"),
    [
        ("E005", lambda: replace(USER, fields=(*USER.fields, NotPersonal(("gone",), "x")))),
        ("E006", lambda: replace(USER, fields=(*USER.fields, NotPersonal(("email",), "x")))),
        ("E007", lambda: replace(USER, purposes=())),
        ("E007", lambda: replace(USER, basis=None)),
        ("E007", lambda: replace(USER, role=None)),
        ("E007", lambda: replace(USER, source=None)),
        ("E008", lambda: replace(USER, paths=())),
        ("E009", lambda: replace(USER, paths=(replace(USER_PATH, eraser=None),))),
        ("E009", lambda: replace(USER, paths=(replace(USER_PATH, eraser=Eraser.BLANK),))),
        ("E010", lambda: replace(USER, keep=None)),
        ("E010", lambda: replace(USER, keep=Keep())),
        ("E010", lambda: replace(SESSION, keep=_without_clock())),
        ("E011", lambda: replace(SESSION, keep=_of("accounts.expiry:NO_SUCH_FIGURE"))),
        ("E011", lambda: replace(SESSION, keep=_of("no such name"))),
        ("E011", lambda: replace(USER, paths=(replace(USER_PATH, lookup="nobody"),))),
        ("E011", lambda: replace(ATTEMPT, paths=(_through("accounts.Nothing"),))),
        ("E011", lambda: replace(ATTEMPT, paths=(_joined("no_such_field"),))),
        ("E012", lambda: replace(INVITATION, interest="")),
        ("E019", lambda: replace(AGREEMENT, held=None)),
        ("E019", lambda: replace(USER, held=AGREEMENT.held)),
        ("E019", lambda: _held(clock="")),
        ("E019", lambda: _held(over="gdpr.holds:has_left")),
        ("E019", lambda: _held(period=None)),
        ("E011", lambda: _held(clock="no_such_field")),
        ("E011", lambda: _held(clock="", over="gdpr.holds:no_such_rule")),
        ("E011", lambda: _held(empties=("no_such_field",))),
    ],
)
def test_fault_is_found(number: str, fault: Callable[[], Entry]) -> None:
    assert f"gdpr.{number}" in found(fault())


@pytest.mark.parametrize(
    ("number", "changed"),
    [
        ("E004", replace(USER, fields=USER.fields[1:])),
        ("E008", replace(USER, paths=())),
        ("E009", replace(USER, paths=(replace(USER_PATH, eraser=None),))),
    ],
    ids=["unclassified field", "no path to the subject", "no eraser"],
)
def test_manage_py_check_fails(
    number: str, changed: Entry, monkeypatch: pytest.MonkeyPatch
) -> None:
    call_command("check")
    entries = [changed if item is USER else item for item in ENTRIES]
    monkeypatch.setattr(checks, "ENTRIES", entries)
    with pytest.raises(SystemCheckError, match=f"gdpr.{number}"):
        call_command("check")


def _held(**changed: Any) -> Entry:
    assert AGREEMENT.held is not None
    return replace(AGREEMENT, held=replace(AGREEMENT.held, **changed))


def test_material_of_bookkeeping_needs_no_period() -> None:
    assert found(_held(law=Law.BOOKKEEPING, period=None)) == set()


def test_each_path_to_an_account_by_a_field_of_its_own_is_missed() -> None:
    removed = [
        (MEMBERSHIP, MEMBERSHIP.paths[1], "E014"),
        (INVITATION, INVITATION.paths[0], "E014"),
        (INVITATION, INVITATION.paths[1], "E015"),
        (INVITATION, INVITATION.paths[2], "E015"),
        (LOG_ENTRY, LOG_ENTRY.paths[1], "E014"),
        (MESSAGE, MESSAGE.paths[0], "E014"),
        *((item, path, "E015") for item in (AGREEMENT, DOCUMENT) for path in item.paths),
    ]
    for item, path, number in removed:
        left = tuple(other for other in item.paths if other is not path)
        assert f"gdpr.{number}" in found(replace(item, paths=left)), (item.model, path.lookup)


PATHS = [(item, path) for item in ENTRIES for path in item.paths]


@pytest.mark.parametrize(("item", "path"), PATHS, ids=[f"{e.model} {p.lookup}" for e, p in PATHS])
def test_each_path_of_the_inventory_is_missed(item: Entry, path: SubjectPath) -> None:
    assert found(replace(item, paths=tuple(other for other in item.paths if other is not path)))


@pytest.mark.parametrize(("item", "path"), PATHS, ids=[f"{e.model} {p.lookup}" for e, p in PATHS])
def test_each_way_to_a_person_is_missed_with_all_its_states(item: Entry, path: SubjectPath) -> None:
    left = tuple(other for other in item.paths if not _differ_in_state_alone(other, path))
    assert found(replace(item, paths=left))


def _differ_in_state_alone(one: SubjectPath, other: SubjectPath) -> bool:
    ways = [(p.lookup, p.through and (p.through.model, p.through.here)) for p in (one, other)]
    return ways[0] == ways[1]


@pytest.mark.parametrize(
    ("item", "lookup", "number"),
    [
        (MESSAGE, "recipient", "E016"),
        (ATTEMPT, "sender", "E016"),
        (DOCUMENT, "contact", "E016"),
        (AUDIT_EVENT, "person", "E017"),
        (AUDIT_EVENT, "email", "E017"),
    ],
)
def test_path_that_other_tables_ask_for(item: Entry, lookup: str, number: str) -> None:
    left = tuple(path for path in item.paths if path.lookup != lookup)
    assert found(replace(item, paths=left)) == {f"gdpr.{number}"}


def test_field_that_may_lead_is_named_by_a_path_or_as_not_leading() -> None:
    assert found(replace(BACKUP_CODE, not_leading=())) == {"gdpr.E014"}


def test_account_is_named_by_a_path_even_where_nothing_else_is_personal() -> None:
    nothing = NotPersonal(BACKUP_CODE.names, "x")
    assert found(replace(BACKUP_CODE, fields=(nothing,), paths=())) == {"gdpr.E014"}


@pytest.mark.parametrize(
    "store",
    [
        replace(BACKUPS, keep=None),
        replace(BACKUPS, eraser=""),
        replace(BACKUPS, role=None),
        replace(BACKUPS, purposes=()),
        replace(VAULT, because=""),
    ],
)
def test_store_that_says_too_little(store: Store) -> None:
    others = [other for other in STORES if other.key != store.key]
    assert found(stores=(*others, store)) == {"gdpr.E013"}


# No setting says where they are, or more than one store is at the same address.
NOT_MISSED = {
    "backups": "the operator's own",
    "customers-providers": "rows of the database name them",
    "customers-servers": "rows of the database name them",
    "links": "nowhere at the service",
    "migrations": "in the database itself",
    "own-mail-server": "a host and a port, as other settings are",
    "sign-in-counters": "the same Redis as smtp-counters",
    "smtp-counters": "the same Redis as sign-in-counters",
}


@pytest.mark.parametrize("store", STORES, ids=lambda store: store.key)
def test_each_store_that_a_setting_names_is_missed(store: Store) -> None:
    left = tuple(other for other in STORES if other is not store)
    assert found(stores=left) == (set() if store.key in NOT_MISSED else {"gdpr.E018"})


def test_both_counters_are_missed_and_a_new_directory() -> None:
    left = tuple(store for store in STORES if "counters" not in store.key)
    assert found(stores=left) == {"gdpr.E018"}
    with override_settings(SPOOL="/var/spool/brevdue"):
        assert found() == {"gdpr.E018"}


def test_look_up_by_model() -> None:
    assert entry(apps.get_model("accounts.User")) is USER
    with pytest.raises(KeyError):
        entry("accounts.Nothing")


def _without_clock() -> Keep:
    assert SESSION.keep
    return replace(SESSION.keep, clock="")


def _of(constant: str) -> Keep:
    assert SESSION.keep
    return replace(SESSION.keep, period=days(constant))


def _through(model: str) -> SubjectPath:
    path = ATTEMPT.paths[0]
    assert path.through
    return replace(path, through=replace(path.through, model=model))


def _joined(name: str) -> SubjectPath:
    path = ATTEMPT.paths[0]
    assert path.through
    return replace(path, through=replace(path.through, on=((name, "position"),)))
