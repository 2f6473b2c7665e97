# SPDX-License-Identifier: AGPL-3.0-or-later
from __future__ import annotations

from typing import Any

import pytest
from django.conf import settings
from django.core.files.uploadedfile import SimpleUploadedFile
from django.http import HttpRequest
from django.test import RequestFactory

from dpa import checking
from gdpr.importing import reading
from relay import suppressions

LARGEST = settings.FILE_UPLOAD_MAX_MEMORY_SIZE


def upload(octets: int) -> HttpRequest:
    file = SimpleUploadedFile("list.csv", b"x" * octets)
    return RequestFactory().post("/", {"file": file})


@pytest.fixture(autouse=True)
def _no_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise AssertionError("a file in the clear on a disk")

    monkeypatch.setattr("django.core.files.temp.NamedTemporaryFile", fail)


@pytest.mark.parametrize(
    "octets", [1, checking.LARGEST, reading.LARGEST, suppressions.IMPORT_OCTETS]
)
def test_largest_file_of_each_page_is_read_in_memory(octets: int) -> None:
    file = upload(octets).FILES["file"]
    assert not isinstance(file, list)
    assert (file.size, len(file.read())) == (octets, octets)


def test_longer_one_is_not_kept_at_all() -> None:
    assert not upload(LARGEST).FILES
