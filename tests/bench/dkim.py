# SPDX-License-Identifier: AGPL-3.0-or-later
"""Mail that is signed on its way: OpenDKIM beside the reference, and a far end that looks.

OpenDKIM signs as this service does (RSA-2048, SHA-256, relaxed/relaxed), asks no name server and
logs nothing. A message that arrives without a signature, or a sample that does not verify, makes
the comparison void.
"""

from __future__ import annotations

import os
import pwd
import random
import shutil
import signal
import socket
import subprocess
from dataclasses import dataclass
from pathlib import Path

import dkim
import psycopg
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from config.stack.children import end, open_log, spawn, wait_until
from relay.smtp import published
from relay.smtp.dkim import Algorithm, new_secret, public_text
from tests.bench.load import Sink
from tests.bench.postfix import NotRun
from tests.rig.service import DOMAIN, Service

SELECTOR = "reference"
SAMPLES = 20
# A signature stands before everything else; what is looked through costs both sides alike.
_BEGINNING = 2048

# It refuses a key below a directory that anybody may write to, where a clone may well lie.
CONFIGURATION = """
Mode s
Canonicalization relaxed/relaxed
SignatureAlgorithm rsa-sha256
OversignHeaders From
Domain {domain}
Selector {selector}
KeyFile {home}/key.pem
InternalHosts 127.0.0.0/8
Socket local:{home}/milter
UMask 000
UserID opendkim
RequireSafeKeys no
Background no
Syslog no
"""

Records = dict[bytes, bytes]


@dataclass(slots=True)
class OpenDkim:
    """One milter below `home`, which its own user must be able to reach."""

    home: Path
    process: subprocess.Popen[bytes] | None = None
    record: str = ""

    @property
    def socket(self) -> Path:
        """Where it listens: over TCP each message waits for 40 ms twice (RFC 1122 §4.2.3.2)."""
        return self.home / "milter"

    def start(self) -> None:
        """Start it and wait until it listens; raises NotRun with the reason."""
        program = shutil.which("opendkim", path=os.environ.get("PATH", "") + ":/usr/sbin")
        if program is None:
            raise NotRun("OpenDKIM is not installed (package 'opendkim')")
        if os.geteuid() != 0:
            raise NotRun("only root can start an OpenDKIM of its own user")
        self._lay_out()
        with open_log(self.home / "opendkim.log") as log:
            self.process = spawn(
                [program, "-f", "-x", self.home / "opendkim.conf"],
                ending=signal.SIGTERM,
                log=log,
                environment=dict(os.environ),
            )
        if not wait_until(self._listens, 20):
            self.stop()
            raise NotRun("OpenDKIM was started and does not listen")

    def _lay_out(self) -> None:
        shutil.rmtree(self.home, ignore_errors=True)
        self.home.mkdir(parents=True)
        os.chown(self.home, pwd.getpwnam("opendkim").pw_uid, -1)
        values = {"domain": DOMAIN, "selector": SELECTOR, "home": self.home}
        (self.home / "opendkim.conf").write_text(CONFIGURATION.format(**values))
        secret = new_secret(Algorithm.RSA)
        self.record = published.key_record(Algorithm.RSA, public_text(secret))
        key = self.home / "key.pem"
        key.write_bytes(
            secret.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
        )
        key.chmod(0o600)
        os.chown(key, pwd.getpwnam("opendkim").pw_uid, -1)

    def _listens(self) -> bool:
        try:
            with socket.socket(socket.AF_UNIX) as milter:
                milter.connect(str(self.socket))
            return True
        except OSError:
            return False

    def roots(self) -> dict[str, int]:
        return {"opendkim": self.process.pid} if self.process else {}

    def records(self) -> Records:
        """What a verifier finds in DNS, by name."""
        return {_name(SELECTOR): self.record.encode()}

    def stop(self) -> None:
        if self.process is not None:
            end(self.process, signal.SIGTERM, signal.SIGKILL, patience=10)
            self.process = None


def our_records(service: Service) -> Records:
    """The same for the keys that the service signs with."""
    with psycopg.connect(service.database_url()) as superuser:
        rows = superuser.execute("SELECT selector, algorithm, public FROM relay_dkimkey").fetchall()
    return {
        _name(selector): published.key_record(Algorithm(algorithm), public).encode()
        for selector, algorithm, public in rows
    }


def _name(selector: str) -> bytes:
    return f"{selector}._domainkey.{DOMAIN}.".encode()


class SigningSink(Sink):
    """A far end that counts signatures and keeps samples, as likely early as late ones."""

    def __init__(self) -> None:
        super().__init__()
        self.taken = self.unsigned = 0
        self.samples: list[bytes] = []
        self._chance = random.Random(1)

    def take(self, content: bytes) -> None:
        super().take(content)
        self.taken += 1
        self.unsigned += b"DKIM-Signature:" not in content[:_BEGINNING]
        if len(self.samples) < SAMPLES:
            self.samples.append(content + b"\r\n")
        elif (place := self._chance.randrange(self.taken)) < SAMPLES:
            self.samples[place] = content + b"\r\n"


def missing(whose: str, sink: SigningSink, records: Records) -> list[str]:
    """Return what keeps the figures of one side from counting, in words."""
    found = [f"{sink.unsigned} of {whose} messages bear no signature"] * (sink.unsigned > 0)
    wrong = sum(not verifies(sample, records) for sample in sink.samples)
    found += [f"{wrong} of {whose} samples do not verify"] * (wrong > 0)
    return found + [f"{whose} mail was not sampled"] * (len(sink.samples) < SAMPLES)


def verifies(message: bytes, records: Records) -> bool:
    """Whether dkimpy takes the first signature."""
    try:
        return bool(dkim.DKIM(message).verify(dnsfunc=lambda name, timeout=5: records.get(name)))
    except dkim.DKIMException:
        return False
