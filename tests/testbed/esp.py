# SPDX-License-Identifier: AGPL-3.0-or-later
"""The providers' HTTP interfaces as they are documented, on loopback, doing as a script says.

with Api() as api:
    ...  # send to api.urls["postmark"]
api.ledger  # what was taken, in one form for all providers
"""

from __future__ import annotations

import base64
import contextlib
import json
import socket
import ssl
import struct
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self, cast
from urllib.parse import parse_qs

KEY = "hemmelig-nok-til-en-prove"
USERNAME = "offentlig-del"
SIGNING = "underskrift-til-en-prove"
DOMAIN = "post.kunde.example"
NAMES = ("mailgun_eu", "mailgun_us", "postmark", "brevo", "mailjet", "sparkpost_eu")


@dataclass(frozen=True)
class Answer:
    """An answer instead of the documented one. `taken`: whether the mail is in the ledger."""

    status: int
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    taken: bool = False


@dataclass(frozen=True)
class Reset:
    """The connection is reset; `taken`: after the mail was taken."""

    taken: bool = False


@dataclass(frozen=True)
class Drip:
    """The documented answer, one octet at a time."""

    seconds: float


Action = Answer | Reset | Drip | None


@dataclass
class Sent:
    """One call that a provider took, whatever it answered."""

    provider: str
    connection: int
    sender: str
    to: list[str]
    cc: list[str]
    subject: str
    text: str
    html: str
    fields: dict[str, str]
    token: str
    files: list[tuple[str, bytes, str]]  # name, octets, content id or ""
    raw: dict[str, Any]
    keys: dict[str, str]  # of the request's header


class Api:
    """All providers on one port, each under its name."""

    def __init__(
        self, script: Sequence[Action] = (None,), tls: ssl.SSLContext | None = None
    ) -> None:
        """Actions are used up one by one; the last stays."""
        self.script = list(script)
        self.ledger: list[Sent] = []
        self.calls = 0
        self.connections = 0
        self.clear = bytearray()  # every octet of every request's header and body
        self._tls = tls
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        handler = type("Handler", (_Handler,), {"owner": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        if self._tls:
            self._server.socket = self._tls.wrap_socket(self._server.socket, server_side=True)
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
        )
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    @property
    def urls(self) -> dict[str, str]:
        scheme = "https" if self._tls else "http"
        return {name: f"{scheme}://127.0.0.1:{self.port}/{name}/" for name in NAMES}

    def act(self) -> Action:
        with self._lock:
            action = self.script[min(self.calls, len(self.script) - 1)]
            self.calls += 1
            return action

    def connected(self) -> int:
        with self._lock:
            self.connections += 1
            return self.connections


class _Handler(BaseHTTPRequestHandler):
    owner: Api
    protocol_version = "HTTP/1.1"
    number = 0

    def setup(self) -> None:
        self.number = self.owner.connected()
        super().setup()

    def handle(self) -> None:
        with contextlib.suppress(OSError):
            super().handle()

    def log_message(self, *_: object) -> None:
        pass

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.owner.clear += str(self.headers).encode() + body
        action = self.owner.act()
        name = self.path.split("/")[1]
        answer, sent = _answer(name, self, body)
        if sent and (action is None or isinstance(action, Drip) or action.taken):
            self.owner.ledger.append(sent)
        if isinstance(action, Reset):
            self._reset()
        elif isinstance(action, Answer):
            self._say(action)
        else:
            self._say(answer, action.seconds if isinstance(action, Drip) else 0)

    def _reset(self) -> None:
        linger = struct.pack("ii", 1, 0)
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.connection.close()
        self.close_connection = True

    def _say(self, answer: Answer, pause: float = 0) -> None:
        octets = (
            answer.body.encode()
            if isinstance(answer.body, str)
            else json.dumps(answer.body).encode()
        )
        self.send_response(answer.status)
        kind = "text/plain" if isinstance(answer.body, str) else "application/json"
        for name, value in {"Content-Type": kind, **answer.headers}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(octets)))
        self.end_headers()
        for start in range(0, len(octets), 1 if pause else max(len(octets), 1)):
            self.wfile.write(octets[start : start + 1] if pause else octets)
            time.sleep(pause)


def _answer(name: str, request: _Handler, body: bytes) -> tuple[Answer, Sent | None]:
    reads, refused = _PROVIDERS[name.removesuffix("_eu").removesuffix("_us")]
    if not _is_known(name, request):
        return refused, None
    return cast("tuple[Answer, Sent | None]", reads(name, request, body))


def _is_known(name: str, request: _Handler) -> bool:
    header = request.headers
    expected = {
        "postmark": ("X-Postmark-Server-Token", KEY),
        "brevo": ("api-key", KEY),
        "sparkpost_eu": ("Authorization", KEY),
        "mailjet": ("Authorization", _basic(USERNAME, KEY)),
    }.get(name, ("Authorization", _basic("api", KEY)))
    return header.get(expected[0]) == expected[1]


def _basic(user: str, word: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{word}".encode()).decode()


def _sent(name: str, request: _Handler, raw: dict[str, Any], **found: Any) -> Sent:
    values: dict[str, Any] = {
        "to": [], "cc": [], "subject": "", "text": "", "html": "", "fields": {}, "token": "",
        "files": [], "sender": "",
    }  # fmt: skip
    return Sent(
        provider=name,
        connection=request.number,
        raw=raw,
        keys=dict(request.headers.items()),
        **values | found,
    )


def _mailgun(name: str, request: _Handler, body: bytes) -> tuple[Answer, Sent | None]:
    form, files = _form(request.headers.get("Content-Type", ""), body)
    if not request.path.endswith(f"/{DOMAIN}/messages"):
        return Answer(404, {"message": "Domain not found: " + request.path}), None
    if "from" not in form:
        return Answer(400, {"message": "from parameter is missing"}), None
    sent = _sent(
        name,
        request,
        form,
        sender=form["from"][0],
        to=form.get("to", []),
        cc=form.get("cc", []),
        subject=form.get("subject", [""])[0],
        text=form.get("text", [""])[0],
        html=form.get("html", [""])[0],
        fields={key[2:]: value[0] for key, value in form.items() if key.startswith("h:")},
        token=form.get("v:brevdue", [""])[0],
        files=files,
    )
    number = f"<{request.owner.calls}.1@{DOMAIN}>"
    return Answer(200, {"id": number, "message": "Queued. Thank you."}), sent


def _form(kind: str, body: bytes) -> tuple[dict[str, list[str]], list[tuple[str, bytes, str]]]:
    if not kind.startswith("multipart/"):
        return parse_qs(body.decode(), keep_blank_values=True), []
    form: dict[str, list[str]] = {}
    files: list[tuple[str, bytes, str]] = []
    whole = message_from_bytes(b"Content-Type: " + kind.encode() + b"\r\n\r\n" + body)
    for part in cast("list[Message]", whole.get_payload()):
        said = Message()  # what browsers send: UTF-8 as it stands
        raw = dict(part.raw_items())["Content-Disposition"]
        said["Content-Disposition"] = raw.encode("utf-8", "surrogateescape").decode()
        name = str(said.get_param("name", header="Content-Disposition"))
        octets = cast(bytes, part.get_payload(decode=True))
        file = said.get_filename()
        if file is None:
            form.setdefault(name, []).append(octets.decode())
        else:
            files.append((file, octets, file if name == "inline" else ""))
    return form, files


def _postmark(name: str, request: _Handler, body: bytes) -> tuple[Answer, Sent | None]:
    told = json.loads(body)
    if not told.get("To"):
        return Answer(422, {"ErrorCode": 300, "Message": "Zero recipients specified"}), None
    sent = _sent(
        name,
        request,
        told,
        sender=told["From"],
        to=told["To"].split(", "),
        cc=told["Cc"].split(", ") if told.get("Cc") else [],
        subject=told["Subject"],
        text=told.get("TextBody", ""),
        html=told.get("HtmlBody", ""),
        fields={one["Name"]: one["Value"] for one in told.get("Headers", [])},
        token=told.get("Metadata", {}).get("brevdue", ""),
        files=[
            (one["Name"], base64.b64decode(one["Content"]), one.get("ContentID", "")[4:])
            for one in told.get("Attachments", [])
        ],
    )
    body_ = {"To": told["To"], "MessageID": "0a129aee-e1cd-480d-b08d-4f48548ff48d",
             "SubmittedAt": "2026-11-22T12:00:00Z", "ErrorCode": 0, "Message": "OK"}  # fmt: skip
    return Answer(200, body_), sent


def _brevo(name: str, request: _Handler, body: bytes) -> tuple[Answer, Sent | None]:
    told = json.loads(body)
    if "sender" not in told:
        return Answer(400, {"code": "missing_parameter", "message": "sender is missing"}), None
    fields = dict(told.get("headers", {}))
    sent = _sent(
        name,
        request,
        told,
        sender=told["sender"]["email"],
        to=[one["email"] for one in told["to"]],
        cc=[one["email"] for one in told.get("cc", [])],
        subject=told.get("subject", ""),
        text=told.get("textContent", ""),
        html=told.get("htmlContent", ""),
        token=json.loads(fields.pop("X-Mailin-custom", "{}")).get("brevdue", ""),
        fields=fields,
        files=[
            (one["name"], base64.b64decode(one["content"]), "")
            for one in told.get("attachment", [])
        ],
    )
    return Answer(201, {"messageId": f"<2026.{request.owner.calls}@relay.brevo.example>"}), sent


def _mailjet(name: str, request: _Handler, body: bytes) -> tuple[Answer, Sent | None]:
    told = json.loads(body)
    if "Messages" not in told:
        error = {"ErrorCode": "mj-0002", "StatusCode": 400, "ErrorMessage": "Malformed JSON"}
        return Answer(400, error), None
    common, one = told["Globals"], told["Messages"][0]
    sent = _sent(
        name,
        request,
        told,
        sender=common["From"]["Email"],
        to=[to["Email"] for to in one["To"]],
        cc=[to["Email"] for to in common.get("Cc", [])],
        subject=common["Subject"],
        text=common.get("TextPart", ""),
        html=common.get("HTMLPart", ""),
        fields=common.get("Headers", {}),
        token=json.loads(common.get("EventPayload", "{}")).get("brevdue", ""),
        files=[
            (file["Filename"], base64.b64decode(file["Base64Content"]), file.get("ContentID", ""))
            for kind in ("Attachments", "InlinedAttachments")
            for file in common.get(kind, [])
        ],
    )
    people = {
        kind: [
            {"Email": address, "MessageUUID": "123", "MessageID": 456, "MessageHref": "https://x"}
            for address in addresses
        ]
        for kind, addresses in (("To", sent.to), ("Cc", sent.cc), ("Bcc", []))
    }
    return Answer(200, {"Messages": [{"Status": "success", **people}]}), sent


def _sparkpost(name: str, request: _Handler, body: bytes) -> tuple[Answer, Sent | None]:
    told = json.loads(body)
    if not told.get("recipients"):
        error = {"message": "required field is missing", "code": "1400", "description": "content"}
        return Answer(422, {"errors": [error]}), None
    content = told["content"]
    fields = dict(content.get("headers", {}))
    copies = [one.strip() for one in fields.pop("Cc", "").split(",") if one.strip()]
    everybody = [one["address"]["email"] for one in told["recipients"]]
    files = [(one["name"], base64.b64decode(one["data"]), "")
             for one in content.get("attachments", [])]  # fmt: skip
    files += [(one["name"], base64.b64decode(one["data"]), one["name"])
              for one in content.get("inline_images", [])]  # fmt: skip
    sent = _sent(
        name,
        request,
        told,
        sender=content["from"],
        to=everybody[: len(everybody) - len(copies)],
        cc=everybody[len(everybody) - len(copies) :],
        subject=content["subject"],
        text=content.get("text", ""),
        html=content.get("html", ""),
        fields=fields,
        token=told.get("metadata", {}).get("brevdue", ""),
        files=files,
    )
    results = {"total_rejected_recipients": 0, "total_accepted_recipients": len(everybody),
               "id": "102258889940193104"}  # fmt: skip
    return Answer(200, {"results": results}), sent


_PROVIDERS: dict[str, Any] = {
    "mailgun": (_mailgun, Answer(401, "Forbidden")),
    "postmark": (_postmark, Answer(401, {"ErrorCode": 10, "Message": "Bad or missing token"})),
    "brevo": (_brevo, Answer(401, {"code": "unauthorized", "message": "Key not found"})),
    "mailjet": (
        _mailjet,
        Answer(401, {"StatusCode": 401, "ErrorMessage": "API key failure", "ErrorCode": "mj-1"}),
    ),
    "sparkpost": (_sparkpost, Answer(401, {"errors": [{"message": "Unauthorized."}]})),
}
