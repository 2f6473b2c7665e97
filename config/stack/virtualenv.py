# SPDX-License-Identifier: AGPL-3.0-or-later
"""Making .venv from the hashed lock files. Standard library only: it runs before anything else."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

from config.stack.provision import install

ROOT = Path(__file__).resolve().parent.parent.parent
VENV = ROOT / ".venv"
OLDEST = (3, 11)


def make(requirements: str) -> int:
    """Install exactly what the lock file names; returns an exit status."""
    if sys.version_info < OLDEST:
        print(f"Python {sys.version.split()[0]} is too old: give make a newer one, PYTHON=...")
        return 1
    if not (VENV / "bin" / "pip").exists() and not _make_venv():
        print("Python cannot make a virtual environment: install the package python3-venv.")
        return 1
    print(f"Installing {requirements} into .venv ...", flush=True)
    pip = [str(VENV / "bin" / "python"), "-m", "pip", "--disable-pip-version-check"]
    pip += ["install", "-q", "--require-hashes", "-r", str(ROOT / requirements)]
    quiet = {**os.environ, "PIP_ROOT_USER_ACTION": "ignore"}
    return subprocess.run(pip, env=quiet).returncode


def _make_venv() -> bool:
    # Debian splits ensurepip from Python; venv itself is there and fails half-way.
    if importlib.util.find_spec("ensurepip") is None:
        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        install(["python3-venv", f"python{version}-venv"])
    return subprocess.run([sys.executable, "-m", "venv", "--clear", VENV]).returncode == 0


if __name__ == "__main__":
    sys.exit(make(sys.argv[1]))
