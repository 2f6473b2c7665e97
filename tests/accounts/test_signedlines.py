# SPDX-License-Identifier: AGPL-3.0-or-later
from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from accounts.signedlines import LinesAltered, SignedLines
from tests import build


@pytest.fixture
def lines(tmp_path: Path) -> SignedLines:
    return SignedLines(tmp_path / "lines", "some-", "some-purpose")


def _file(lines: SignedLines) -> Path:
    (path,) = lines.directory.iterdir()
    return path


def test_lines_come_back_in_order(lines: SignedLines) -> None:
    lines.append(["a", "b"], build.NOW)
    lines.append(["c"], build.NOW)
    lines.append(["d"], build.NOW + timedelta(days=31))
    assert list(lines.read()) == ["a", "b", "c", "d"]
    assert len(list(lines.directory.iterdir())) == 2


def test_only_its_own_user_reads_the_directory(lines: SignedLines) -> None:
    lines.append(["a"], build.NOW)
    assert lines.directory.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("torn", [b"[", b'["b", "0123', b'["b", "01"]'])
def test_half_a_line_of_a_crash_is_nothing_and_goes_with_the_next(
    lines: SignedLines, torn: bytes
) -> None:
    lines.append(["a"], build.NOW)
    with _file(lines).open("ab") as file:
        file.write(torn)
    assert list(lines.read()) == ["a"]
    lines.append(["c"], build.NOW)
    assert list(lines.read()) == ["a", "c"]


def test_signature_of_another_purpose_is_none(lines: SignedLines) -> None:
    lines.append(["a"], build.NOW)
    other = SignedLines(lines.directory, lines.prefix, "another-purpose")
    with pytest.raises(LinesAltered, match="line 1"):
        list(other.read())


def test_files_of_months_before_go(lines: SignedLines) -> None:
    lines.append(["a"], build.NOW)
    lines.drop_before(build.NOW.replace(day=30))
    assert list(lines.read()) == ["a"]
    lines.drop_before(build.NOW + timedelta(days=31))
    assert list(lines.read()) == []


def test_no_file_is_no_line(lines: SignedLines) -> None:
    assert list(lines.read()) == []
