# SPDX-License-Identifier: AGPL-3.0-or-later
"""The reports that flufl.bounce is tested with, from its source archive, and what they say."""

from __future__ import annotations

import ast
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

_TABLE = "DETECTORS"


@dataclass(frozen=True)
class Sample:
    """One report; `is_soft`: its mail was delayed, and not yet given up."""

    name: str
    content: bytes
    recipients: frozenset[str]
    is_soft: bool


def samples(path: Path) -> list[Sample]:
    """Return all of the archive's samples that its own table has an answer to."""
    with tarfile.open(path) as archive:
        files = {
            PurePosixPath(member.name).name: reader.read()
            for member in archive
            if (reader := archive.extractfile(member)) is not None
            and PurePosixPath(member.name).parts[1] == "tests"
        }
    return [
        Sample(name, files[name], frozenset(one.decode().lower() for one in addresses), is_soft)
        for name, addresses, is_soft in _rows(files["test_detectors.py"].decode())
    ]


def _rows(source: str) -> Iterator[tuple[str, list[bytes], bool]]:
    for node in ast.parse(source).body:
        match node:
            case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
                if name == _TABLE and node.value is not None:
                    yield from (row[1:] for row in ast.literal_eval(node.value))
