# SPDX-License-Identifier: AGPL-3.0-or-later
"""The search within one organisation: all of its columns, nobody else's rows, nothing newer."""

from __future__ import annotations

import base64
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import pytest
from django.conf import settings as configured
from django.db import connection
from pytest_django.fixtures import Settings
from redis import Redis

from accounts.models import Organisation
from gdpr import scan
from gdpr.correspondents.whom import Correspondent
from relay.models import Attempt, Delivery
from tests import build
from tests.gdpr.correspondents import seeds
from tests.gdpr.correspondents.conftest import ERIK

pytestmark = [pytest.mark.django_db, pytest.mark.as_role("duty")]


def found(house: Organisation, until: datetime, address: str = ERIK) -> set[str]:
    whom = Correspondent(organisation_id=house.id, address=address, until=until)
    return {item.place for item in scan.scan(whom.sought, until, within=whom.within).findings}


@pytest.fixture
def table() -> str:
    """A tenant's table that no model and no inventory knows of."""
    with build.as_owner(), connection.cursor() as cursor:
        cursor.execute(
            "CREATE TABLE leftover (organisation_id uuid, accepted_at timestamptz, word text,"
            " packed jsonb, raw bytea, words text[])"
        )
        cursor.execute("GRANT SELECT ON leftover TO duty")
    return "leftover"


def leave(house: Organisation, at: datetime, **columns: Any) -> None:
    names = ", ".join(columns)
    marks = ", ".join(["%s"] * len(columns))
    with build.as_owner(), connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO leftover (organisation_id, accepted_at, {names})"
            f" VALUES (%s, %s, {marks})",
            [house.id, at, *columns.values()],
        )


FORMS = {
    "plain": f"<{ERIK}>",
    "upper case": ERIK.upper(),
    "in a URL": quote(ERIK, safe=""),
    "in base64": base64.b64encode(f"<{ERIK}>".encode()).decode(),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("column", ["word", "words", "raw", "packed"])
def test_planted_leftover_is_found(
    house: Organisation, now: datetime, table: str, column: str, form: str
) -> None:
    text = FORMS[form]
    values = {"word": text, "words": [text], "raw": text.encode(), "packed": f'["{text}"]'}
    leave(house, now, **{column: values[column]})
    assert found(house, now) == {f"leftover.{column}"}


def test_other_organisations_and_newer_rows_are_left_out(
    house: Organisation, neighbour: Organisation, now: datetime, table: str
) -> None:
    leave(neighbour, now, word=ERIK)
    leave(house, now + timedelta(seconds=1), word=ERIK)
    assert found(house, now) == set()
    leave(house, now, word=ERIK)
    assert found(house, now) == {"leftover.word"}


def test_every_text_of_the_log_and_the_queue_is_searched(
    house: Organisation, now: datetime, earlier: datetime
) -> None:
    seeds.mail(house, earlier, ERIK, sender=ERIK, subject=ERIK, header=ERIK, waits=True)
    with build.as_owner():
        for model in (Attempt, Delivery):
            name = "reply" if model is Attempt else "display_name"
            model.objects.update(**{name: ERIK})
    assert found(house, now) == {
        "relay_message.sender",
        "relay_message.subject",
        "relay_messageheader.header",
        "relay_delivery.recipient",
        "relay_delivery.display_name",
        "relay_attempt.reply",
        "relay_content.sender",
        "relay_queueddelivery.recipient",
    }


def test_tables_of_nobody_keys_and_files_are_searched_whole(
    house: Organisation, now: datetime, tmp_path: Path, settings: Settings
) -> None:
    settings.LOG_DIRECTORIES = [str(tmp_path / "logs")]
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "a.log").write_text(f"to {ERIK}\n")
    with Redis.from_url(configured.REDIS_URL) as redis:
        redis.set(f"x:{uuid4()}", ERIK)
    build.person("Erik", "Modtager")
    places = found(house, now, "erik@modtager.example")
    assert places == {"logs", "redis:string", "accounts_user.email"}


def test_every_spelling_is_sought(house: Organisation, now: datetime, table: str) -> None:
    leave(house, now, word="a@xn--rdgrd-vuad.example")
    assert found(house, now, "a@rødgrød.example") == {"leftover.word"}


def test_longer_address_is_somebody_elses(house: Organisation, now: datetime, table: str) -> None:
    for text in (f"bo+{ERIK}", f"h{ERIK}", f"{ERIK}.test", f"bo.{ERIK}"):
        leave(house, now, word=text)
    assert found(house, now) == set()
