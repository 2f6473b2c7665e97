# SPDX-License-Identifier: AGPL-3.0-or-later
"""Faults in packages: others who are named in them, and packages of elsewhere taken over."""

from __future__ import annotations

from tests.planted.fault import Fault

REDACTION, RELEASES = "gdpr/redaction.py", "gdpr/releases.py"
READING, UNPACKING = "gdpr/importing/reading.py", "gdpr/importing/unpacking.py"
PLANNING, TAKING = "gdpr/importing/planning.py", "gdpr/importing/taking.py"
TEXTS = "tests/gdpr/test_redaction.py::test_text_has_nobody_but_the_person"
OTHERS = "tests/gdpr/test_access.py::TestOthers"
DECIDED = "tests/gdpr/test_releases.py"
UNPACKED = "tests/gdpr/importing/test_unpacking.py"
TAKEN = "tests/gdpr/importing/test_taking.py"

FAULTS = (
    # A third person stays out.
    Fault(0, REDACTION, "return self._names(text, path)", "return text", TEXTS),
    Fault(
        0,
        REDACTION,
        "if address == self.circle.own:",
        "if address.endswith(self.circle.own):",
        TEXTS,
    ),
    Fault(0, REDACTION, "local = found[1].lstrip(_QUOTES)", "local = found[1]", TEXTS),
    Fault(0, REDACTION, "if key is None or key == self.circle.own:\n", "if True:\n", TEXTS),
    Fault(
        0,
        REDACTION,
        "_salt: bytes = field(default_factory=lambda: secrets.token_bytes(16), repr=False)",
        '_salt: bytes = b"salt"',
        f"{OTHERS}::test_words_are_the_same_within_a_package_and_others_in_the_next",
    ),
    Fault(
        0,
        "gdpr/acquaintances.py",
        "near = Q(is_staff=True) | Q(pk__in=members) | Q(pk__in=acted)",
        "near = Q(pk__in=members) | Q(pk__in=acted)",
        f"{OTHERS}::test_who_is_released_is_shown_and_nobody_else",
    ),
    Fault(
        0,
        "gdpr/acquaintances.py",
        " | Q(pk__in=acted)",
        "",
        f"{OTHERS}::test_who_has_left_is_hidden_still",
    ),
    # Who is released is shown to the one person, by somebody else's decision.
    Fault(
        0,
        RELEASES,
        "return Release.objects.filter(person=person).order_by",
        "return Release.objects.order_by",
        f"{OTHERS}::test_release_is_for_the_packages_of_one_person",
    ),
    Fault(
        0,
        RELEASES,
        "    if person == by:\n",
        "    if False:\n",
        f"{DECIDED}::test_what_cannot_be_decided",
    ),
    Fault(
        0,
        RELEASES,
        "    if row.person == by:\n",
        "    if False:\n",
        f"{DECIDED}::test_own_is_not_taken_back_by_oneself",
    ),
    # Packages of elsewhere.
    Fault(
        0,
        UNPACKING,
        '(file.get("path"), file.get("sha256")) for file in files]\n'
        "    found = [(name, sha256(content).hexdigest())",
        '(file.get("path"), "") for file in files]\n    found = [(name, "")',
        f"{UNPACKED}::test_changed_after_it_was_made",
    ),
    Fault(
        0,
        UNPACKING,
        "if sorted(map(str, told)) != sorted(map(str, found)):",
        "if not set(found) <= set(told):",
        f"{UNPACKED}::test_changed_after_it_was_made",
    ),
    Fault(
        0,
        UNPACKING,
        "name = info.orig_filename",
        "name = info.filename",
        f"{UNPACKED}::test_file_of_another_name",
    ),
    Fault(
        0,
        UNPACKING,
        "                if left < 0:\n",
        "                if False:\n",
        f"{UNPACKED}::test_bomb_is_put_down_when_it_has_grown_enough",
    ),
    Fault(
        0,
        READING,
        'if "email" in row] != [person.email]:',
        'if "email" in row] == []:',
        f"{TAKEN}::test_package_of_somebody_else",
    ),
    Fault(
        0,
        PLANNING,
        "user=person, role=Role.OWNER, approved_at",
        "user=person, approved_at",
        f"{TAKEN}::test_who_does_not_own_it_writes_nothing_there",
    ),
    Fault(
        0,
        PLANNING,
        "role=Role.OWNER, approved_at__isnull=False)",
        "role=Role.OWNER)",
        f"{TAKEN}::test_owner_who_is_not_let_in_yet_writes_nothing_there",
    ),
    Fault(
        0,
        PLANNING,
        "return {name: filled.cleaned_data[name] for name in new.keys() - refused}, refused",
        "return {name: new[name] for name in new}, refused",
        f"{TAKEN}::test_value_that_the_page_would_not_take_is_kept",
    ),
    Fault(
        0,
        PLANNING,
        "        new = [record for record in records if record not in self.earlier]\n",
        "        new = records\n",
        f"{TAKEN}::test_second_time_changes_nothing",
    ),
    Fault(
        0,
        TAKING,
        "        throw_away(person)\n        return",
        "        return",
        f"{TAKEN}::test_a_new_package_takes_the_place_of_one_that_waits",
    ),
    # Cells.
    Fault(
        0,
        "accounts/spreadsheets.py",
        """return f"'{text}" if _is_begun(text) else text""",
        "return text",
        "tests/gdpr/test_archives.py::test_formula_is_text",
    ),
)
