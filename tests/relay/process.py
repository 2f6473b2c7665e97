# SPDX-License-Identifier: AGPL-3.0-or-later
"""`manage.py smtpd` as a process of its own, on the test database."""

from __future__ import annotations

import contextlib
import os
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from django.conf import settings

from config.stack.state import free_port
from tests.relay import mail
from tests.testbed.certificates import Authority


def login(role: str) -> str:
    """How to connect to the test database as `role`."""
    if role != "owner":
        return mail.dsn(role)
    name = settings.DATABASES["default"]["NAME"]
    return urlsplit(os.environ["DATABASE_URL"])._replace(path=f"/{name}").geturl()


class Process:
    """`manage.py smtpd` on the test database."""

    def __init__(self, authority: Authority, directory: Path, **environment: str) -> None:
        self.port, self.tls_port = free_port(), free_port()
        self.pem = directory / "server.pem"
        self.authority = authority
        self.renew()
        self.environment = os.environ | {
            "DJANGO_SETTINGS_MODULE": "config.settings",
            "DATABASE_ROLE": "relay",
            "RELAY_DATABASE_URL": mail.dsn(),
            "REDIS_URL": settings.REDIS_URL,
            "VAULT_URL": settings.VAULT_URL,
            "KEYRING_URL": settings.KEYRING_URL,
            "SMTP_PORT": str(self.port),
            "SMTPS_PORT": str(self.tls_port),
            "SMTP_TLS_CERT": str(self.pem),
            "SMTP_TLS_KEY": str(self.pem),
            **environment,
        }

    def renew(self) -> None:
        self.authority.server("localhost")
        newest = max(self.authority.ca_file.parent.glob("localhost-*.pem"), key=os.path.getmtime)
        self.pem.write_bytes(newest.read_bytes())

    def start(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "manage.py", "smtpd"],
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def ready(self) -> None:
        self.start()
        assert self.process.stdout is not None
        assert "ports" in self.process.stdout.readline()

    def end(self) -> tuple[int, str]:
        """Exit status and what was logged."""
        self.process.terminate()
        out, errors = self.process.communicate(timeout=90)
        return self.process.returncode, out + errors

    @property
    def trusted(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(self.authority.ca_file))

    def serial(self) -> str:
        """The serial number of the certificate on the TLS port."""
        with (
            socket.create_connection(("127.0.0.1", self.tls_port), timeout=60) as raw,
            self.trusted.wrap_socket(raw, server_hostname="localhost") as tls,
        ):
            certificate = tls.getpeercert()
        assert certificate is not None
        return str(certificate["serialNumber"])


@contextlib.contextmanager
def running(process: Process) -> Iterator[Process]:
    process.ready()
    try:
        yield process
    finally:
        if process.process.poll() is None:
            process.process.kill()
        process.process.communicate()
