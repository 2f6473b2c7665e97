# SPDX-License-Identifier: AGPL-3.0-or-later
"""What is written comes back whole, or not at all."""

from __future__ import annotations

import os
import stat
import tracemalloc
import zipfile
from hashlib import sha256
from pathlib import Path

import pytest

from gdpr import sealedfiles
from gdpr.sealedfiles import (
    PIECE_OCTETS,
    PREFIX_OCTETS,
    TAG_OCTETS,
    FileDamaged,
    SealingWriter,
)

KEY = bytes(range(32))


def written(path: Path, content: bytes, key: bytes = KEY) -> Path:
    with SealingWriter(path, key) as writer:
        for start in range(0, len(content), 100_000):
            writer.write(content[start : start + 100_000])
        writer.finish()
    assert (writer.octets, writer.digest.digest()) == (len(content), sha256(content).digest())
    return path


def read(path: Path, key: bytes = KEY) -> bytes:
    return b"".join(sealedfiles.opened(path, key))


@pytest.mark.parametrize("size", [0, 1, PIECE_OCTETS - 1, PIECE_OCTETS, PIECE_OCTETS + 1, 700_000])
def test_content_comes_back(tmp_path: Path, size: int) -> None:
    content = os.urandom(size)
    path = written(tmp_path / "new" / "file", content)
    assert read(path) == content
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert content[:40] not in path.read_bytes() or size < 40


def test_another_key_opens_nothing(tmp_path: Path) -> None:
    with pytest.raises(FileDamaged):
        read(written(tmp_path / "file", b"x"), KEY[::-1])


def test_every_change_is_noticed(tmp_path: Path) -> None:
    path = written(tmp_path / "file", os.urandom(3 * PIECE_OCTETS + 5))
    whole, piece = path.read_bytes(), PIECE_OCTETS + TAG_OCTETS
    prefix, pieces = whole[:PREFIX_OCTETS], whole[PREFIX_OCTETS:]
    first, second, rest = pieces[:piece], pieces[piece : 2 * piece], pieces[2 * piece :]
    for damaged in (
        b"",
        whole[:-1],
        whole + b"x",
        prefix,
        prefix + first + second,
        prefix + first,
        prefix + second + first + rest,
        prefix + first + first + rest,
        bytes([prefix[0] ^ 1]) + whole[1:],
        whole[:100] + bytes([whole[100] ^ 1]) + whole[101:],
    ):
        path.write_bytes(damaged)
        with pytest.raises(FileDamaged):
            read(path)


def test_unfinished_file_is_none(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with SealingWriter(path, KEY) as writer:
        writer.write(b"x" * 700_000)
        (draft,) = tmp_path.iterdir()
        assert draft.name.startswith(".file.")
        assert sealedfiles.name_of(draft) == "file"
    assert list(tmp_path.iterdir()) == []


def test_removing_takes_the_draft_too(tmp_path: Path) -> None:
    path = written(tmp_path / "file", b"x")
    (tmp_path / ".file.0badc0de").write_bytes(b"left by a crash")
    (tmp_path / ".file2.0badc0de").write_bytes(b"another's")
    for _ in range(2):
        sealedfiles.remove(path)
        assert [file.name for file in tmp_path.iterdir()] == [".file2.0badc0de"]


def test_two_files_under_one_key_share_no_nonce(tmp_path: Path) -> None:
    """The same octets sealed alike would show where two contents differ, and let tags be forged."""
    content = bytes(2 * PIECE_OCTETS)
    first = written(tmp_path / "first", content).read_bytes()
    second = written(tmp_path / "second", content).read_bytes()
    start, piece = PREFIX_OCTETS, PIECE_OCTETS + TAG_OCTETS
    pieces = {
        file[start + number * piece :][:piece] for file in (first, second) for number in (0, 1)
    }
    assert len(pieces) == 4
    (tmp_path / "first").write_bytes(first[: start + piece] + second[start + piece :])
    with pytest.raises(FileDamaged):
        read(tmp_path / "first")


def test_two_writers_do_not_touch_each_others_draft(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with SealingWriter(path, KEY) as late:
        late.write(b"late")
        written(path, b"second")
    assert read(path) == b"second"
    assert [file.name for file in tmp_path.iterdir()] == ["file"]


def test_archive_is_written_and_read_in_constant_memory(tmp_path: Path) -> None:
    path, line = tmp_path / "file", os.urandom(64 * 1024)
    tracemalloc.start()
    with SealingWriter(path, KEY) as writer:
        with zipfile.ZipFile(writer, "w") as archive, archive.open("rows", "w") as part:
            for _ in range(320):
                part.write(line)
        writer.finish()
    for _ in sealedfiles.opened(path, KEY):
        pass
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert path.stat().st_size > 20 * 1024 * 1024
    assert peak < 4 * 1024 * 1024
