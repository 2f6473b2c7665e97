# SPDX-License-Identifier: AGPL-3.0-or-later
"""Programs of the system: what is missing, and installing it where that is allowed."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from config.stack import corpus

POLICY = Path("/usr/sbin/policy-rc.d")
NODE_PACKAGES = Path(__file__).resolve().parents[2] / "tests" / "journeys"
# invoke-rc.d(8): 101 means that the action is forbidden.
FORBID_DAEMONS = "#!/bin/sh\nexit 101\n"


@dataclass(frozen=True, slots=True)
class Need:
    """A program, the package that has it, and what cannot be done without it.

    `probe` is a command that succeeds when the package is there; the programs decide without one.
    """

    programs: tuple[str, ...]
    package: str
    without: str
    probe: tuple[str, ...] = ()

    @property
    def met(self) -> bool:
        if self.probe:
            return _succeeds(self.probe)
        path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
        return any(shutil.which(program, path=path) for program in self.programs)


def _succeeds(words: Sequence[str], where: Path | None = None) -> bool:
    program = shutil.which(words[0])
    if program is None:
        return False
    return subprocess.run([program, *words[1:]], cwd=where, capture_output=True).returncode == 0


# WeasyPrint loads libraries by name; what finds them for Python also finds them here.
FINDS_LIBRARY = (
    "import sys; from ctypes.util import find_library; sys.exit(not find_library(sys.argv[1]))"
)


def _library(name: str, package: str) -> Need:
    probe = (sys.executable, "-c", FINDS_LIBRARY, name)
    return Need((), package, "agreements, certificates and other PDFs", probe=probe)


RUN_NEEDS = (
    _library("pango-1.0", "libpango-1.0-0"),
    _library("pangoft2-1.0", "libpangoft2-1.0-0"),
    _library("harfbuzz-subset", "libharfbuzz-subset0"),
)
TEST_NEEDS = (
    *RUN_NEEDS,
    Need(("chromium-headless-shell",), "chromium-headless-shell", "the browser tests"),
    Need(("swaks",), "swaks", "the test that sends with swaks"),
    Need(
        ("perl",),
        "libnet-ssleay-perl",
        "the tests that send with swaks over TLS",
        probe=("perl", "-MNet::SSLeay", "-e", "1"),
    ),
    Need(("npm",), "npm", "the test that sends with nodemailer"),
    Need(("curl",), "curl", "the test that sends with curl"),
    Need(("msmtp",), "msmtp", "the test that sends with msmtp"),
    Need(("pdftotext",), "poppler-utils", "the tests that read PDFs with other programs"),
    Need(("certutil",), "libnss3-tools", "the test that verifies signatures with poppler"),
    Need(("opendkim",), "opendkim", "the tests that verify mail's signatures with OpenDKIM"),
    Need(("postfix",), "postfix", "the tests with a Postfix at the other end"),
    Need(("saslpasswd2",), "sasl2-bin", "the test that signs in at a Postfix"),
    Need(
        ("sh",),
        "libsasl2-modules",
        "the tests in which a Postfix knows sign-ins",
        probe=("sh", "-c", "ls /usr/lib/*/sasl2/libplain.so*"),
    ),
)
BENCH_NEEDS = (
    Need(("postfix",), "postfix", "the reference of the benchmark"),
    Need(("smtp-source",), "postfix", "the load of the benchmark"),
    Need(("opendkim",), "opendkim", "the reference of the benchmark with signatures"),
)
NEEDS = {"run": RUN_NEEDS, "test": TEST_NEEDS, "bench": BENCH_NEEDS}


def provision(purpose: str) -> list[Need]:
    """Install what is missing, where this user may; returns what is missing after that."""
    missing = _missing(NEEDS[purpose])
    if missing and install(sorted({need.package for need in missing})):
        missing = _missing(missing)
    for need in missing:
        print(f"Not run: {need.without} ({need.package} is not installed).", flush=True)
    if purpose == "test":
        _provision_node_packages()
        if not corpus.fetch():
            print("Not run: the corpus of returned mail (it could not be fetched).", flush=True)
    return missing


def _provision_node_packages() -> None:
    """Install the JavaScript client that journeys send with, as its lock file says."""
    if (NODE_PACKAGES / "node_modules").is_dir() or not shutil.which("npm"):
        return
    print("Installing the JavaScript client of the journeys ...", flush=True)
    if not _succeeds(("npm", "ci", "--no-audit", "--no-fund"), NODE_PACKAGES):
        print("Not run: the test that sends with nodemailer (npm ci failed).", flush=True)


def install(packages: Sequence[str]) -> bool:
    """Install Debian packages without starting a daemon; False when this user may not."""
    prefix = _privilege()
    if prefix is None or not shutil.which("apt-get"):
        return False
    print(f"Installing {', '.join(packages)} ...", flush=True)
    with _no_daemons(prefix):
        _apt(prefix, packages)
    return True


def _missing(needs: Sequence[Need]) -> list[Need]:
    return [need for need in needs if not need.met]


def _privilege() -> list[str] | None:
    """What to put before a command that installs; None when this user may not."""
    if os.geteuid() == 0:
        return []
    if not shutil.which("sudo"):
        return None
    silent = subprocess.run(["sudo", "-n", "true"], capture_output=True).returncode == 0
    return ["sudo"] if silent or os.environ.get("CI") == "1" else None


def _apt(prefix: list[str], packages: Sequence[str]) -> None:
    quiet = ["-y", "-qq", "-o", "DPkg::Lock::Timeout=300", "-o", "Dpkg::Use-Pty=0"]
    install = ["install", "--no-install-recommends", *packages]
    for arguments in (["update"], install):
        words = [*prefix, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", *quiet, *arguments]
        if subprocess.run(words, stdout=subprocess.DEVNULL).returncode != 0:
            print(f"apt-get {arguments[0]} failed; going on without.", flush=True)
            return


@contextlib.contextmanager
def _no_daemons(prefix: list[str]) -> Iterator[None]:
    """Debian starts daemons when it installs them; forbid it for as long as this takes."""
    if POLICY.exists():
        yield
        return
    subprocess.run(
        [*prefix, "tee", POLICY], input=FORBID_DAEMONS, text=True, stdout=subprocess.DEVNULL
    )
    subprocess.run([*prefix, "chmod", "0755", POLICY])
    try:
        yield
    finally:
        subprocess.run([*prefix, "rm", "-f", POLICY])
