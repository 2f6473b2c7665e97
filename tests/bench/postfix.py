# SPDX-License-Identifier: AGPL-3.0-or-later
"""The reference: a Postfix of our own on loopback, relaying everything to the sink.

Its defaults stand, except where one would hold it back on this load: no delay of the intake, no
look-up of the client's name, as many deliveries at once as there are sessions. It has our
certificate, so that both shake hands alike; the load resumes no session of TLS.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
from dataclasses import dataclass
from pathlib import Path

from config.stack.children import end, open_log, spawn, wait_until
from config.stack.state import free_port

MAIN = """
compatibility_level = 3.6
queue_directory = {home}/queue
data_directory = {home}/data
mail_owner = postfix
setgid_group = postdrop
maillog_file = {home}/log/mail.log
maillog_file_prefixes = {home}
myhostname = reference.example
mydestination =
mynetworks = 127.0.0.0/8
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
alias_maps =
alias_database =
relayhost = [127.0.0.1]:{sink}
smtp_host_lookup = native
disable_dns_lookups = yes
smtpd_peername_lookup = no
smtpd_tls_security_level = may
smtpd_tls_cert_file = {certificate}
smtpd_tls_key_file = {key}
smtpd_tls_session_cache_database =
smtp_tls_security_level = none
in_flow_delay = 0
initial_destination_concurrency = 20
default_destination_concurrency_limit = 20
"""
SIGNED = """
smtpd_milters = unix:{milter}
milter_default_action = tempfail
"""

MASTER = """
127.0.0.1:{port} inet n - n - - smtpd
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
smtp unix - - n - - smtp
error unix - - n - - error
retry unix - - n - - error
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
tlsmgr unix - - n 1000? 1 tlsmgr
postlog unix-dgram n - n - 1 postlogd
"""


class NotRun(Exception):
    """Why the reference cannot be measured here."""


@dataclass(slots=True)
class Postfix:
    """One instance below `home`, which its own users must be able to reach.

    What it takes goes through the milter at the socket `milter`, if there is one. `more` are lines
    of main.cf that count for more than ours; `sasl` says how it knows sign-ins, where that is
    asked in its own directory (as Debian's is).
    """

    home: Path
    sink_port: int
    certificate: str
    key: str
    milter: Path | None = None
    more: str = ""
    sasl: str = ""
    port: int = 0
    process: subprocess.Popen[bytes] | None = None

    @property
    def configuration(self) -> Path:
        return self.home / "etc"

    def start(self) -> None:
        """Start it and wait until it answers; raises NotRun with the reason."""
        program = self._possible()
        shutil.rmtree(self.home, ignore_errors=True)
        self._lay_out()
        self._check()
        with open_log(self.home / "master.log") as log:
            self.process = spawn(
                [program, "-c", self.configuration, "-s"],
                ending=signal.SIGTERM,
                log=log,
                environment={**os.environ, "MAIL_CONFIG": str(self.configuration)},
            )
        if not wait_until(self._answers, 20):
            self.stop()
            raise NotRun("Postfix was started and does not answer")

    def _possible(self) -> Path:
        if not shutil.which("postfix"):
            raise NotRun("Postfix is not installed (package 'postfix')")
        if os.geteuid() != 0:
            raise NotRun("only root can start a Postfix")
        asked = ["postconf", "-d", "-h", "daemon_directory"]
        directory = subprocess.run(asked, capture_output=True, text=True, check=True).stdout
        return Path(directory.strip()) / "master"

    def _lay_out(self) -> None:
        self.port = free_port()
        owner = pwd.getpwnam("postfix")
        for name in ("etc", "queue", "data", "log"):
            (self.home / name).mkdir(parents=True)
        os.chown(self.home / "data", owner.pw_uid, owner.pw_gid)
        values = {"home": self.home, "sink": self.sink_port, "port": self.port}
        values |= {"certificate": self.certificate, "key": self.key}
        signed = SIGNED.format(milter=self.milter) if self.milter else ""
        (self.configuration / "main.cf").write_text(MAIN.format(**values) + signed + self.more)
        (self.configuration / "sasl").mkdir()
        (self.configuration / "sasl" / "smtpd.conf").write_text(self.sasl)
        (self.configuration / "master.cf").write_text(MASTER.format(**values))

    def _check(self) -> None:
        """Let Postfix make and own its queue directories."""
        command = ["postfix", "-c", str(self.configuration), "check"]
        answer = subprocess.run(command, capture_output=True, text=True)
        if answer.returncode != 0:
            raise NotRun(f"Postfix refused its configuration: {answer.stderr.strip()}")

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as server:
                return server.recv(4) == b"220 "
        except OSError:
            return False

    def roots(self) -> dict[str, int]:
        return {"master": self.process.pid} if self.process else {}

    def stop(self) -> None:
        if self.process is not None:
            end(self.process, signal.SIGTERM, signal.SIGKILL, patience=10)
            self.process = None
