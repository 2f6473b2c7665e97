# SPDX-License-Identifier: AGPL-3.0-or-later
"""A small authoritative DNS server on loopback, UDP and TCP, with failures that can be switched.

with NameServer("kunde.example. 60 IN TXT \\"brevdue=abc\\"") as dns:
    resolver = dns.server            # "127.0.0.1:54321", what RELAY_RESOLVER takes
    dns.fail("kunde.example", Failure.SERVFAIL)
    dns.load("kunde.example. 60 IN TXT \\"changed\\"")
"""

from __future__ import annotations

import socket
import socketserver
import struct
import threading
from enum import Enum
from typing import Any, Self

from dnslib import QTYPE, RCODE, RR, DNSRecord


class Failure(Enum):
    """What goes wrong with a name."""

    SERVFAIL = RCODE.SERVFAIL
    NXDOMAIN = RCODE.NXDOMAIN
    REFUSED = RCODE.REFUSED
    TIMEOUT = "no answer at all"
    TRUNCATED = "an answer over UDP that points to TCP"


class NameServer:
    """Authoritative for every name; what its zone does not know does not exist."""

    def __init__(self, zone: str = "") -> None:
        self._records: list[RR] = []
        self._failures: dict[str, Failure] = {}
        self._kinds: dict[tuple[str, str], Failure] = {}
        self._lock = threading.Lock()
        self.queries: list[tuple[str, str]] = []  # (name, type), in order of arrival
        self.load(zone)

    def load(self, zone: str) -> None:
        """Replace all records by those of this zone text (master file format)."""
        records = list(RR.fromZone(zone)) if zone.strip() else []
        with self._lock:
            self._records = records

    def add(self, zone: str) -> None:
        """Add records."""
        with self._lock:
            self._records += RR.fromZone(zone)

    def fail(self, name: str, failure: Failure | None) -> None:
        """Make a name and everything below it fail, or heal it with None. "" is every name."""
        with self._lock:
            if failure is None:
                self._failures.pop(name, None)
            else:
                self._failures[name] = failure

    def fail_kind(self, name: str, kind: str, failure: Failure) -> None:
        """Make just one name fail for one type of record."""
        with self._lock:
            self._kinds[name, kind] = failure

    @property
    def server(self) -> str:
        """Where it listens, as RELAY_RESOLVER wants it."""
        return f"127.0.0.1:{self._udp.server_address[1]}"

    def __enter__(self) -> Self:
        """Listen on one port of the system's choice, over UDP and TCP."""
        self._udp, self._tcp = _pair(self)
        for server in (self._udp, self._tcp):
            threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop listening."""
        for server in (self._udp, self._tcp):
            server.shutdown()
            server.server_close()

    def answer(self, packet: bytes, *, over_tcp: bool) -> bytes | None:
        """Return the answer to a query packet, None for silence."""
        query = DNSRecord.parse(packet)
        name, kind = str(query.q.qname).rstrip(".").lower(), QTYPE[query.q.qtype]
        with self._lock:
            self.queries.append((name, kind))
            failure = self._kinds.get((name, kind)) or self._failure(name)
            records = list(self._records)
        reply = query.reply(ra=0, aa=1)
        if failure is Failure.TIMEOUT:
            return None
        if failure is Failure.TRUNCATED and not over_tcp:
            reply.header.tc = 1
        elif failure is not None and failure is not Failure.TRUNCATED:
            reply.header.rcode = failure.value
        else:
            _fill(reply, records, name, kind)
        if not reply.rr:
            _limit(reply, records, name)
        packed: bytes = reply.pack()
        return packed

    def _failure(self, name: str) -> Failure | None:
        labels = name.split(".")
        candidates = [".".join(labels[i:]) for i in range(len(labels))] + [""]
        return next((self._failures[c] for c in candidates if c in self._failures), None)


def _fill(reply: DNSRecord, records: list[RR], name: str, kind: str) -> None:
    """Answer from the zone, following aliases (RFC 1034 §4.3.2)."""
    for _ in range(8):
        own = [record for record in records if str(record.rname).rstrip(".").lower() == name]
        matching = [record for record in own if QTYPE[record.rtype] in (kind, "CNAME")]
        for record in matching:
            reply.add_answer(record)
        # Not by class: other records that hold a name are kinds of it there.
        alias = next((r.rdata for r in matching if QTYPE[r.rtype] == "CNAME"), None)
        if alias is None or kind == "CNAME":
            below = any(str(r.rname).lower().endswith(f".{name}.") for r in records)
            if not own and not below:
                reply.header.rcode = RCODE.NXDOMAIN
            return
        name = str(alias.label).rstrip(".").lower()


def _limit(reply: DNSRecord, records: list[RR], name: str) -> None:
    """Say for how long it may be remembered that there is nothing (RFC 2308 §3)."""
    for record in records:
        above = str(record.rname).rstrip(".").lower()
        if QTYPE[record.rtype] == "SOA" and f".{name}".endswith(f".{above}"):
            reply.add_auth(record)


class _Udp(socketserver.ThreadingUDPServer):
    daemon_threads = True


class _Tcp(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True


def _pair(name_server: NameServer) -> tuple[_Udp, _Tcp]:
    class OverUdp(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            packet, own_socket = self.request
            answer = name_server.answer(packet, over_tcp=False)
            if answer is not None:
                own_socket.sendto(answer, self.client_address)

    class OverTcp(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            length = struct.unpack("!H", _exactly(self.request, 2))[0]
            answer = name_server.answer(_exactly(self.request, length), over_tcp=True)
            if answer is not None:
                self.request.sendall(struct.pack("!H", len(answer)) + answer)

    for _ in range(20):
        udp = _Udp(("127.0.0.1", 0), OverUdp)
        try:
            return udp, _Tcp(("127.0.0.1", udp.server_address[1]), OverTcp)
        except OSError:  # somebody else has the port over TCP
            udp.server_close()
    raise RuntimeError("no port is free over both UDP and TCP")


def _exactly(connection: socket.socket, length: int) -> Any:
    data = connection.recv(length, socket.MSG_WAITALL)
    if len(data) < length:
        raise ConnectionError("the query ended early")
    return data
