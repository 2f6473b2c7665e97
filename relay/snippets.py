# SPDX-License-Identifier: AGPL-3.0-or-later
"""Ready-made settings for the programs people send with: implicit TLS first (RFC 8314 §3)."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address

from django.conf import settings


@dataclass(frozen=True, slots=True)
class Server:
    """Where a customer's program connects to."""

    host: str
    tls_port: int
    starttls_port: int


@dataclass(frozen=True, slots=True)
class Snippet:
    element: str
    title: str
    text: str


def server() -> Server:
    """Return the public name of the service; in development the loopback address it listens on."""
    host = settings.SMTP_HOST if _is_loopback(settings.SMTP_HOST) else settings.RELAY_HOSTNAME
    return Server(host, settings.SMTPS_PORT, settings.SMTP_PORT)


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


_SWAKS = """\
# asks for the secret, which then is in no shell history
swaks --server {host} --port {port} --tls-on-connect \\
  --auth PLAIN --auth-user {user} \\
  --from you@{domain} --to you@{domain}
"""
_PYTHON = """\
import os
import smtplib
from email.message import EmailMessage

message = EmailMessage()
message["From"] = "you@{domain}"
message["To"] = "you@{domain}"
message["Subject"] = "Hello"
message.set_content("It works.")

with smtplib.SMTP_SSL("{host}", {port}) as server:
    server.login("{user}", os.environ["BREVDUE_SECRET"])
    server.send_message(message)
"""
_DJANGO = """\
EMAIL_HOST = "{host}"
EMAIL_PORT = {port}
EMAIL_USE_SSL = True
EMAIL_HOST_USER = "{user}"
EMAIL_HOST_PASSWORD = os.environ["BREVDUE_SECRET"]
DEFAULT_FROM_EMAIL = "you@{domain}"
"""
_NODE = """\
import nodemailer from "nodemailer";

const transport = nodemailer.createTransport({{
  host: "{host}",
  port: {port},
  secure: true,
  auth: {{ user: "{user}", pass: process.env.BREVDUE_SECRET }},
}});

await transport.sendMail({{
  from: "you@{domain}",
  to: "you@{domain}",
  subject: "Hello",
  text: "It works.",
}});
"""
_PHP = """\
use PHPMailer\\PHPMailer\\PHPMailer;

$mail = new PHPMailer(true);
$mail->isSMTP();
$mail->Host = '{host}';
$mail->Port = {port};
$mail->SMTPSecure = PHPMailer::ENCRYPTION_SMTPS;
$mail->SMTPAuth = true;
$mail->Username = '{user}';
$mail->Password = getenv('BREVDUE_SECRET');
$mail->setFrom('you@{domain}');
$mail->addAddress('you@{domain}');
$mail->Subject = 'Hello';
$mail->Body = 'It works.';
$mail->send();
"""
_POSTFIX = """\
# /etc/postfix/main.cf
relayhost = [{host}]:{port}
smtp_tls_wrappermode = yes
smtp_tls_security_level = secure
smtp_sasl_auth_enable = yes
smtp_sasl_security_options = noanonymous
smtp_sasl_password_maps = hash:/etc/postfix/sasl_passwd

# /etc/postfix/sasl_passwd (mode 0600), then: postmap /etc/postfix/sasl_passwd
[{host}]:{port} {user}:SECRET
"""
_PROGRAMS = (
    ("swaks", "swaks", _SWAKS),
    ("python", "Python (smtplib)", _PYTHON),
    ("django", "Django", _DJANGO),
    ("node", "Node.js (nodemailer)", _NODE),
    ("php", "PHP (PHPMailer)", _PHP),
    ("postfix", "Postfix", _POSTFIX),
)


def snippets(username: str, domain: str) -> list[Snippet]:
    """Return one snippet per program; none holds the secret, because snippets get copied about."""
    where = server()
    filled = {"host": where.host, "port": where.tls_port, "user": username, "domain": domain}
    return [
        Snippet(f"snippet-{key}", title, text.format(**filled)) for key, title, text in _PROGRAMS
    ]
