# SPDX-License-Identifier: AGPL-3.0-or-later
"""What a person needs after the start: where to look and how to sign in, from var/demo.json."""

from __future__ import annotations

import json
from collections.abc import Mapping

from config.stack.places import VAR
from config.stack.processes import commands


def process_names() -> list[str]:
    return list(commands())


def where_to_look(ports: Mapping[str, int]) -> str:
    demo = json.loads((VAR / "demo.json").read_text())
    owner, staff, smtp = demo["owner"], demo["staff"], demo["smtp"]
    return f"""
Look here
  Portal     {demo["web"]}  sign in as {owner["email"]}  password {owner["password"]}
  Admin      {staff["url"]}  sign in as {staff["email"]}  password {staff["password"]}
             second factor: put the secret {staff["totp_secret"]} into an authenticator app
  SMTP       127.0.0.1:{smtp["port"]} with STARTTLS, 127.0.0.1:{smtp["tls_port"]} with TLS
             trust {smtp["ca_file"]}
             user {smtp["username"]}  password {smtp["password"]}
             sender {smtp["sender"]}
  Mailbox    {demo["mailbox"]["maildir"]} (Maildir, everything that was sent)
  Logs       var/log/stack.log   all of this for programs: var/demo.json

Ctrl-C stops everything.
"""
