# SPDX-License-Identifier: AGPL-3.0-or-later
"""What a person needs after the start: where to look and how to sign in, from var/demo.json."""

from __future__ import annotations

import json
from collections.abc import Mapping

from config.stack.places import VAR
from config.stack.processes import commands
from config.stack.state import write_private

FACTS = VAR / "demo.json"


def process_names() -> list[str]:
    return list(commands())


def add_facts(facts: Mapping[str, object]) -> None:
    """Add to var/demo.json, which has secrets of the demo and of the embedded engines."""
    known = json.loads(FACTS.read_text())
    write_private(FACTS, json.dumps(known | facts, indent=1) + "\n")


def where_to_look() -> str:
    demo = json.loads(FACTS.read_text())
    owner, staff, smtp = demo["owner"], demo["staff"], demo["smtp"]
    return f"""
Look here
  Portal     {demo["web"]}  sign in as {owner["email"]}  password {owner["password"]}
             second factor: put the secret {owner["totp_secret"]} into an authenticator app
  Admin      {staff["url"]}  sign in as {staff["email"]}  password {staff["password"]}
             second factor: {staff["totp_secret"]}, in the same way
  SMTP       127.0.0.1:{smtp["port"]} with STARTTLS, 127.0.0.1:{smtp["tls_port"]} with TLS
             trust {smtp["ca_file"]}
             user {smtp["username"]}  password {smtp["password"]}
             sender {smtp["sender"]}
  Mailbox    {demo["mailbox"]["maildir"]} (Maildir, everything that was sent)
  Logs       var/log/stack.log   all of this for programs: var/demo.json

Ctrl-C stops everything.
"""
