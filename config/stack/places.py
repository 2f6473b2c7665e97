# SPDX-License-Identifier: AGPL-3.0-or-later
"""Where things lie, and as whom the engines run."""

from __future__ import annotations

import hashlib
import os
import pwd
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from config.stack.failure import StackError

ROOT = Path(__file__).resolve().parent.parent.parent
VAR = ROOT / "var"
# Only root can make this directory, so nobody else can put something in our way there.
SYSTEM_STATE = Path("/var/lib/brevdue")


@dataclass(frozen=True, slots=True)
class Account:
    """Who runs the engines: None means the same user as the launcher."""

    name: str | None

    def popen_options(self) -> dict[str, object]:
        if self.name is None:
            return {}
        group = pwd.getpwnam(self.name).pw_gid
        return {"user": self.name, "group": group, "extra_groups": []}

    def give(self, path: Path) -> None:
        """Hand a directory tree to this account."""
        if self.name is None:
            return
        entry = pwd.getpwnam(self.name)
        for found in (path, *path.rglob("*")):
            os.chown(found, entry.pw_uid, entry.pw_gid, follow_symlinks=False)

    def reaches(self, path: Path, flag: str = "-x") -> bool:
        """Whether the kernel lets this account enter a directory (or, with -r, read a file)."""
        command = ["test", flag, str(path)]
        # cwd: the account may not be able to stand where the launcher stands.
        options: dict[str, Any] = dict(self.popen_options())
        return subprocess.run(command, cwd="/", **options).returncode == 0


def engine_account() -> Account:
    """PostgreSQL refuses to run as root, so root hands the engines to an unprivileged user."""
    if os.geteuid() != 0:
        return Account(name=None)
    for name in ("nobody", "daemon"):
        try:
            pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(name=name)
    raise StackError("No unprivileged user for the engines: add one called nobody.")


def checkout_id(root: Path = ROOT) -> str:
    """Tells checkouts apart wherever they meet outside their own tree."""
    return hashlib.sha256(os.fsencode(root)).hexdigest()[:12]


def private_directory(path: Path) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    path.chmod(0o700)
    return path


def engine_home(name: str, account: Account, *, root: Path = ROOT) -> Path:
    """The directory of engine data: var/<name>, or a link there when the account cannot get in.

    A checkout under a closed home directory (root's own) is the usual reason for the link.
    """
    link = root / "var" / name
    open_directory(link.parent)
    if link.is_symlink():
        return open_directory(Path(os.readlink(link)))
    if account.reaches(link.parent):
        return open_directory(link)
    if link.is_dir():
        raise StackError(
            f"The engines run as {account.name}, who can no longer get into {link}.\n"
            "Open the directories above it again (chmod o+x), or start over with: make reset"
        )
    outside = open_directory(SYSTEM_STATE / checkout_id(root) / name)
    link.symlink_to(outside)
    return outside


def forget_everything(root: Path = ROOT) -> None:
    """Remove var/ and what lies elsewhere in its name."""
    shutil.rmtree(SYSTEM_STATE / checkout_id(root), ignore_errors=True)
    shutil.rmtree(root / "var", ignore_errors=True)


def open_directory(path: Path) -> Path:
    """Others may pass through, not look: what lies below is closed by itself."""
    for missing in [p for p in (*reversed(path.parents), path) if not p.exists()]:
        missing.mkdir(exist_ok=True)
        missing.chmod(0o711)
    return path
