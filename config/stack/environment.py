# SPDX-License-Identifier: AGPL-3.0-or-later
"""The environment of our processes: every setting that the launcher decides."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from config.stack.places import private_directory
from config.stack.state import State, write_private
from config.stack.tls import ensure_certificates

HOSTNAME = "relay.localhost"


def development_settings(ports: Mapping[str, int]) -> dict[str, str]:
    """Everything on loopback; own mails and the demo's route end in the development mailbox."""
    mailbox = ports["MAILBOX_PORT"]
    return {
        "SITE_URL": f"http://127.0.0.1:{ports['WEB_PORT']}",
        "ALLOWED_HOSTS": "127.0.0.1,localhost",
        "SMTP_HOST": "127.0.0.1",
        "EMAIL_URL": f"smtp://127.0.0.1:{mailbox}",
        "DEFAULT_FROM_EMAIL": "Brevdue <brevdue@brevdue.example>",
        "OPERATOR_EMAIL": "drift@brevdue.example",
        "RELAY_EGRESS_LOOPBACK_PORTS": str(mailbox),
        "RELAY_DEVELOPMENT_DOMAINS": "true",
        "RELAY_BOUNCE_DOMAIN": "retur.brevdue.example",
        **{name: str(port) for name, port in ports.items()},
    }


def private_places(directory: Path, state: State, environment: Mapping[str, str]) -> dict[str, str]:
    """Directories, keys and certificates below `directory`, made when missing.

    Each is closed to others by itself: `directory` may have to let the engines' user through.
    """
    hostname = environment.get("RELAY_HOSTNAME") or HOSTNAME
    tls = directory / "tls"
    ensure_certificates(tls, hostname)
    return {
        "SECRET_KEY": state.secret("secret_key"),
        "RELAY_HOSTNAME": hostname,
        "VAULT_URL": private_directory(directory / "vault").as_uri(),
        "KEYRING_URL": private_directory(directory / "keyring").as_uri(),
        "AUDIT_ANCHORS": str(private_directory(directory / "anchors")),
        "PACKAGES": str(private_directory(directory / "packages")),
        "SEAL_KEYS_URL": private_directory(directory / "seal").as_uri(),
        "ERASURE_JOURNAL": str(private_directory(directory / "erasures")),
        "LOG_DIRECTORIES": str(private_directory(directory / "log")),
        "SMTP_TLS_CERT": str(tls / "server.pem"),
        "SMTP_TLS_KEY": str(tls / "server.key"),
        "RELAY_CA_FILE": str(tls / "ca.pem"),
    }


def write_environment(path: Path, environment: Mapping[str, str]) -> None:
    """The file that settings read when a person runs manage.py beside the stack."""
    write_private(path, "".join(f"{name}={value}\n" for name, value in environment.items()))
