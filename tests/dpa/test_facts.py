# SPDX-License-Identifier: AGPL-3.0-or-later
"""Every figure of an agreement is the one that is enforced; a change of it is a new version."""

from __future__ import annotations

import re
from typing import Any

import pytest

from accounts import audit, limits, passwords, stepup
from accounts.limits import Limit
from accounts.models import Membership, Organisation
from accounts.models.organisations import QUEUE_HOURS_MAX
from config.settings import BASE_DIR
from dpa import composition, offering, processing, terms, texts
from dpa import facts as facts_of
from dpa.composition import Reading
from dpa.facts import Facts
from dpa.texts import TextFaulty
from gdpr import breaches, inventory, recipients
from gdpr.registry import Role
from relay import hourkeys
from relay.models.messages import LOG_DAYS
from tests import build
from tests.dpa import papers

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("inside")]


def drafted(by: Membership) -> Facts:
    return offering.draft(by, build.NOW).facts


def words(reading: Reading) -> str:
    """Every word of the clauses and annexes, a point or section to a line."""
    lines = [
        " ".join([point.number, point.passage.words, *point.passage.items])
        for clause in reading.clauses
        for point in clause.points
    ]
    for annex in reading.annexes:
        for section in annex.sections:
            parts = [passage.words for passage in section.passages]
            parts += [" ".join(line) for row in _rows(section) for line in row]
            parts += [f"{card.title}: {_card(card)}" for card in section.cards]
            lines.append(" ".join([section.title, *parts]))
    return "\n".join(lines)


def _rows(section: Any) -> Any:
    return section.table.rows if section.table else ()


def _card(card: Any) -> str:
    passages = " ".join(passage.words for passage in card.passages)
    return passages + " ".join(f"{name} {value}" for name, value in card.lines)


def text_of(by: Membership) -> str:
    return words(composition.read(drafted(by)))


def build_supplier_in_force() -> None:
    with build.as_owner():
        recipients.enter(build.supplier(), changed=["name"], by=None)


def line(text: str, start: str) -> str:
    return next(line for line in text.splitlines() if line.startswith(start))


class TestFigures:
    def test_each_is_the_one_that_is_enforced(self, by: Membership, settings: Any) -> None:
        text = text_of(by)
        tries, seconds = limits.SIGN_IN_PERSON.windows[0]
        expected = {
            "6.3 ": [f"senest {breaches.NOTICE_HOURS} timer"],
            "4.2 ": [f"mindst {settings.SUBPROCESSOR_OBJECTION_DAYS} dage"],
            "4.3 ": [f"med højst {recipients.REVIEW_DAYS} dages mellemrum"],
            "3.3 ": [f"senest {terms.ASSISTANCE_DAYS} dage efter"],
            "6.6 ": [f"senest {terms.ASSISTANCE_DAYS} dage efter"],
            "9.1 ": [f"senest {terms.ASSISTANCE_DAYS} dage efter"],
            "11.5 ": [f"Senest {terms.ASSISTANCE_DAYS} dage efter sletningen"],
            "5.2 ": [f"i {audit.AUDIT_DAYS} dage"],
            "10.1 ": [f"med {terms.AMENDMENT_DAYS} dages skriftligt varsel"],
            "11.2 ": [
                f"senest {terms.DELETION_DAYS} dage efter Hovedaftalens ophør",
                f"senest {settings.BACKUP_DAYS} dage efter sletningen",
            ],
            "3.6 ": [f"{settings.ASSISTANCE_HOURLY_RATE} kr.", "812,50 kr. inkl. 25 pct."],
            "14.2 ": [settings.AGREEMENT_COURT],
            "Loggen Loggen": [f"senest {LOG_DAYS} dage"],
            "Indholdet af e-mail": [
                "sendt i 72 timer",
                f"mere end {QUEUE_HOURS_MAX} timer",
                f"senest {hourkeys.longest_hours()} timer",
            ],
            "Foranstaltninger i Tjenesten": [
                f"mindst {passwords.required_length()} tegn",
                f"og {passwords.PASSWORD_FLOOR_DIGITS} cifre",
                f"i {stepup.FRESH.seconds // 60} minutter",
                f"Efter {tries} forsøg på at logge ind på samme konto",
                f"inden for {seconds // 60} minutter",
                "dannet med Argon2id",
                f"opbevares i {audit.AUDIT_DAYS} dage",
                "TLS 1.2 eller nyere",
                "256 bit",
            ],
        }
        for start, figures in expected.items():
            for figure in figures:
                assert figure in line(text, start)

    def test_no_other_figure_stands_in_the_clauses(self, by: Membership) -> None:
        """Whatever number there is, is one of the facts, of a clause or of the law."""
        reading = composition.read(drafted(by))
        known = {"30", "24", "7", "10", "365", "396", "650", "812,50", "25"}
        for clause in reading.clauses:
            for point in clause.points:
                passage = " ".join([point.passage.words, *point.passage.items])
                law = r"(artikel|punkt|Bilag|stk\.|nr\.|\(EU\)) ?[\d./]*\d"
                left = re.findall(r"\d[\d,.]*\d|\d", re.sub(law, "", passage))
                assert set(left) <= known, (point.number, left)

    def test_retention_table_is_the_inventory_of_what_is_processed(self, by: Membership) -> None:
        entries = [e for e in inventory.personal_entries() if e.role is Role.PROCESSOR]
        assert len(entries) >= 6
        rows = drafted(by)["processing"]
        assert [row["table"] for row in rows] == [entry.model for entry in entries]
        assert [len(row["fields"]) for row in rows] == [len(entry.personal) for entry in entries]
        table = composition.read(drafted(by)).annexes[0].sections[3].table
        assert table
        for entry, row in zip(entries, table.rows, strict=True):
            assert len(row[1]) == len(entry.personal)
            if entry.keep and entry.keep.period:
                assert str(entry.keep.period.figure) in row[3][0]

    def test_limit_of_an_address_is_its_own(
        self, by: Membership, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(limits, "SIGN_IN_ADDRESS", Limit("x", ((17, 9 * 60),)))
        measures = line(text_of(by), "Foranstaltninger i Tjenesten")
        assert "eller 17 forsøg fra samme netværksadresse inden for 9 minutter" in measures
        assert "Efter 10 forsøg på at logge ind på samme konto" in measures


class TestPeriods:
    def test_each_is_told_to_the_people_who_keep_it(self, by: Membership) -> None:
        """A period that no code holds to is kept by whoever reads that it is theirs."""
        owners = {
            "breach_hours": "gdpr.breaches.NOTICE_HOURS",
            "objection_days": "SUBPROCESSOR_OBJECTION_DAYS",
            "review_days": "gdpr.recipients.REVIEW_DAYS",
            "assistance_days": "dpa.terms.ASSISTANCE_DAYS",
            "amendment_days": "dpa.terms.AMENDMENT_DAYS",
            "deletion_days": "dpa.terms.DELETION_DAYS",
            "backup_days": "BACKUP_DAYS",
        }
        assert owners.keys() == drafted(by)["periods"].keys()
        page = (BASE_DIR / "docs" / "agreement.md").read_text()
        assert [name for name in owners.values() if f"`{name}`" not in page] == []


class TestEncryption:
    """What is not encrypted is not said to be."""

    def test_submission_in_clear_is_said(self, by: Membership, settings: Any) -> None:
        settings.RELAY_ALLOW_PLAINTEXT_AUTH = False
        assert "Tjenesten modtager kun e-mail" in text_of(by)
        assert "modtager e-mail over en krypteret forbindelse" in text_of(by)
        settings.RELAY_ALLOW_PLAINTEXT_AUTH = True
        assert "Tjenesten kan modtage e-mail" in text_of(by)
        assert "e-mail over en krypteret forbindelse" not in text_of(by)

    def test_portal_in_clear_is_said(self, by: Membership, settings: Any) -> None:
        settings.SECURE_COOKIES = True
        assert "Portalen kan kun nås over en krypteret forbindelse" in text_of(by)
        settings.SECURE_COOKIES = False
        assert "Portalen kan nås over en forbindelse, der ikke er krypteret" in text_of(by)


class TestTransfers:
    """What the text says of places outside the EEA, and of what a signature approves."""

    def test_inside_nothing_is_approved(self, by: Membership) -> None:
        text = text_of(by)
        assert "Ingen af dem ligger uden for EØS" in line(text, "7.1 ")
        assert "godkender ingen overførsel" in line(text, "7.2 ")
        assert "fuldmagt til det" not in line(text, "7.3 ")

    def test_outside_the_signature_approves_what_annex_two_says(self) -> None:
        text = words(composition.read(papers.RICH))
        assert "Nogle af dem ligger uden for EØS" in line(text, "7.1 ")
        assert "godkender de overførsler, som Bilag 2 angiver" in line(text, "7.2 ")
        assert "giver underskriften Databehandleren fuldmagt til det" in line(text, "7.3 ")

    def test_operator_outside_is_a_place_outside(self, by: Membership, settings: Any) -> None:
        settings.OPERATOR_COUNTRY = "US"
        assert "Nogle af dem ligger uden for EØS" in line(text_of(by), "7.1 ")


class TestWords:
    """The words are the text's own: no catalogue of another app is part of what was agreed."""

    def test_terms_do_not_follow_the_catalogue(
        self, by: Membership, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        build_supplier_in_force()
        signed, text = drafted(by), text_of(by)
        assert len(signed["subprocessors"]) == 1
        monkeypatch.setattr(
            "django.utils.translation._trans.gettext", lambda message: "another word"
        )
        assert str(inventory.personal_entries()[0].title) == "another word"
        assert facts_of.differences(signed, drafted(by)) == []
        assert text_of(by) == text

    def test_text_has_words_for_all_that_is_processed(self) -> None:
        blocks = texts.load("da").blocks
        keys = list(processing.keys())
        assert len(keys) > 30
        assert set(keys) <= set(blocks)
        own = {key for key in blocks if key.startswith(("data.", "service.", "transfer."))}
        assert own <= set(keys)

    def test_without_a_word_nothing_is_issued(self, by: Membership) -> None:
        facts = drafted(by)
        facts["processing"][0]["fields"].append("shoe_size")
        with pytest.raises(TextFaulty, match="shoe_size"):
            composition.read(facts)


CHANGES = {
    "a shorter log": ("relay.models.messages.LOG_DAYS", 14, {"processing", "figures"}),
    "a longer queue": (
        "accounts.models.organisations.QUEUE_HOURS_MAX",
        144,
        {"processing", "figures"},
    ),
    "faster help": ("dpa.terms.ASSISTANCE_DAYS", 5, {"periods"}),
    "more reviews": ("gdpr.recipients.REVIEW_DAYS", 183, {"periods"}),
    "a stricter breach limit": ("gdpr.breaches.NOTICE_HOURS", 12, {"periods"}),
    "a longer amendment notice": ("dpa.terms.AMENDMENT_DAYS", 14, {"periods"}),
    "a stricter password rule": ("accounts.passwords.PASSWORD_FLOOR_DIGITS", 3, {"figures"}),
}
SETTINGS = {
    "a longer password": ("PASSWORD_LENGTH", 14, {"figures"}),
    "a higher rate": ("ASSISTANCE_HOURLY_RATE", 700, {"rate"}),
    "longer backups": ("BACKUP_DAYS", 60, {"periods"}),
    "another court": ("AGREEMENT_COURT", "Retten i Aarhus", {"court"}),
    "a longer objection": ("SUBPROCESSOR_OBJECTION_DAYS", 45, {"periods"}),
    "the operator moved": ("OPERATOR_ADDRESS", "Anden Vej 2", {"processor"}),
}


class TestChange:
    @pytest.mark.parametrize("change", CHANGES)
    def test_of_a_constant_changes_the_text_and_asks_for_a_new_version(
        self, change: str, by: Membership, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        name, value, parts = CHANGES[change]
        signed, before = drafted(by), text_of(by)
        monkeypatch.setattr(name, value)
        assert set(facts_of.differences(signed, drafted(by))) == parts
        assert str(value) in text_of(by)
        assert text_of(by) != before

    @pytest.mark.parametrize("change", SETTINGS)
    def test_of_a_setting_does_the_same(self, change: str, by: Membership, settings: Any) -> None:
        name, value, parts = SETTINGS[change]
        signed, before = drafted(by), text_of(by)
        setattr(settings, name, value)
        assert set(facts_of.differences(signed, drafted(by))) == parts
        assert text_of(by) != before or name == "OPERATOR_ADDRESS"

    def test_of_what_a_version_may_differ_in_asks_for_nothing(self, by: Membership) -> None:
        signed = drafted(by)
        Organisation.objects.filter(pk=by.organisation_id).update(queue_lifetime_hours=48)
        by.organisation.refresh_from_db()
        now = drafted(by)
        assert "i 48 timer" in text_of(by)
        assert facts_of.differences(signed, now) == []

    def test_of_the_customers_name_asks_for_a_new_version(self, by: Membership) -> None:
        signed = drafted(by)
        by.organisation.name = "Dueslaget A/S"
        assert facts_of.differences(signed, drafted(by)) == ["controller"]

    def test_digest_of_the_terms_follows_them(self, by: Membership, settings: Any) -> None:
        before, again = (facts_of.terms_digest(drafted(by)) for _ in range(2))
        settings.VAT_PERCENT = 24
        assert before == again != facts_of.terms_digest(drafted(by))


class TestHostile:
    def test_names_appear_literally_and_break_nothing(self, by: Membership) -> None:
        by.organisation.name = "<b>A</b>\n\n15 Ny bestemmelse {{ court }}"
        reading = composition.read(drafted(by))
        assert reading.controller.name == "<b>A</b> 15 Ny bestemmelse {{ court }}"
        assert len(reading.clauses) == 14

    def test_every_annex_is_there(self, by: Membership) -> None:
        reading = composition.read(drafted(by))
        assert [annex.name for annex in reading.annexes] == ["Bilag 1", "Bilag 2", "Bilag 3"]

    def test_facts_of_the_sample_have_the_same_shape(self, by: Membership) -> None:
        """Or the sample that other tests go by would prove nothing."""
        assert set(build.AGREED) == set(drafted(by))
        assert build.AGREED["figures"].keys() == drafted(by)["figures"].keys()
        assert papers.SUBJECT.name == build.AGREED["signatory"]["name"]
