# SPDX-License-Identifier: AGPL-3.0-or-later
"""From a TCP connection to a server that is ready for MAIL: greeting, EHLO, TLS, sign-in."""

from __future__ import annotations

import asyncio
import re
import ssl
from base64 import b64encode
from collections.abc import Collection
from dataclasses import dataclass, field, replace
from functools import partial

from relay.smtp.replies import (
    Outcome,
    Reply,
    ReplyError,
    Scope,
    Stage,
    Verdict,
    bounded_text,
    judge,
)
from relay.smtp.tls import DEMAND_OF_POLICY, Contexts, Evidence, TlsDemand, TlsPolicy, TlsResult
from relay.smtp.wire import Lost, Wire


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """Limits in seconds; those of RFC 5321 §4.5.3.2 are minima a client should not go below."""

    connect: float = 30
    tls: float = 60
    greeting: float = 300
    command: float = 300  # EHLO, AUTH, MAIL, RCPT
    data: float = 120
    block: float = 180
    dot: float = 600
    goodbye: float = 5
    reused: float = 30  # first answer on a connection that has been idle
    # In all: a tarpit must not hold a connection's place for hours.
    session: float = 900  # from the connection to MAIL
    dialogue: float = 900  # from MAIL to 354


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One address of one server, already checked by the egress guard."""

    host: str  # the name that the certificate has to carry
    address: str
    port: int
    tls: TlsPolicy
    username: str = ""
    password: str = field(default="", repr=False)
    is_mx: bool = False  # found in the DNS, not named by a customer
    demand: TlsDemand | None = None  # None: what the policy asks
    source: str = ""  # the address that the connection comes from; empty: the system's choice


@dataclass(frozen=True, slots=True)
class Peer:
    """Who is at the other end, and how outcomes name it."""

    host: str
    address: str
    evidence: Evidence = Evidence()
    demand: TlsDemand = TlsDemand.NONE
    is_mx: bool = False

    def judged(self, reply: Reply, stage: Stage, recipients: Collection[str] = ()) -> Outcome:
        """Outcome of a reply; `recipients`: the addresses that it is about."""
        found = judge(reply, stage, recipients, is_mx=self.is_mx)
        said = self.outcome(
            found.verdict, found.scope, reply.enhanced, reply.text, stage=stage, code=reply.code
        )
        return replace(said, is_hard=True) if found.is_hard else said

    def outcome(
        self,
        verdict: Verdict,
        scope: Scope,
        enhanced: str,
        text: str,
        *,
        stage: Stage,
        code: int = 0,
        after_dot: bool = False,
    ) -> Outcome:
        """Outcome with a text of our own, or of the remote where code is given."""
        return Outcome(
            verdict=verdict,
            scope=scope,
            code=code,
            enhanced=enhanced,
            text=text,
            remote_host=self.host,
            remote_address=self.address,
            tls_version=self.evidence.version,
            tls_cipher=self.evidence.cipher,
            tls_verified=self.evidence.verified,
            tls_demand=self.demand.value,
            tls_result=self.evidence.result.value,
            after_dot=after_dot,
            stage=stage,
        )


@dataclass(frozen=True, slots=True)
class Features:
    """What the server announced after the last EHLO."""

    keywords: frozenset[str] = frozenset()
    mechanisms: frozenset[str] = frozenset()
    size: int = 0  # largest message in octets, 0 when unlimited or not said

    @property
    def pipelining(self) -> bool:
        """RFC 2920."""
        return "PIPELINING" in self.keywords

    @property
    def dsn(self) -> bool:
        """RFC 3461."""
        return "DSN" in self.keywords


@dataclass(frozen=True, slots=True)
class Session:
    """A server that waits for MAIL."""

    wire: Wire
    peer: Peer
    features: Features


class SessionError(Exception):
    """No session; ``outcome`` holds for every recipient, ``tls`` when only encrypting failed."""

    def __init__(self, outcome: Outcome, *, tls: bool = False) -> None:
        # The remote's text may hold addresses and stays out of the exception's own text.
        super().__init__(f"{outcome.verdict} {outcome.scope} {outcome.code} {outcome.enhanced}")
        self.outcome = outcome
        self.tls = tls


_HOST_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9A-Za-z.:]+\]")


async def establish(
    target: Target, *, ehlo_name: str, contexts: Contexts, timeouts: Timeouts
) -> Session:
    """Open a session under the target's TLS policy. Raises SessionError.

    Opportunistic TLS that fails is repeated in clear (RFC 7435 §3), but never with credentials.
    """
    if not _HOST_NAME.fullmatch(ehlo_name):
        raise ValueError("EHLO name is not a host name or address literal")
    until = asyncio.get_running_loop().time() + timeouts.session
    begin = partial(_Handshake, ehlo_name=ehlo_name, contexts=contexts, timeouts=timeouts)
    try:
        return await begin(target, until=until).run()
    except SessionError as error:
        if target.tls is not TlsPolicy.OPPORTUNISTIC or target.username or not error.tls:
            raise
    in_clear = replace(target, tls=TlsPolicy.NONE, demand=target.demand or TlsDemand.MAY)
    return await begin(in_clear, until=until, result=TlsResult.FAILED).run()


def _unasked(policy: TlsPolicy) -> TlsResult:
    """What can be said of the channel before encryption was tried."""
    return TlsResult.PLAIN if policy is TlsPolicy.NONE else TlsResult.UNKNOWN


class _Handshake:
    def __init__(
        self,
        target: Target,
        *,
        ehlo_name: str,
        contexts: Contexts,
        timeouts: Timeouts,
        until: float,
        result: TlsResult | None = None,
    ) -> None:
        self._target = target
        self._ehlo_name = ehlo_name
        self._contexts = contexts
        self._timeouts = timeouts
        self._until = until  # by the loop's clock
        self._stage = Stage.CONNECT
        self._peer = Peer(
            target.host,
            target.address,
            Evidence(result=result or _unasked(target.tls)),
            target.demand or DEMAND_OF_POLICY[target.tls],
            target.is_mx,
        )
        self._loop = asyncio.get_running_loop()
        self._wire: Wire

    async def run(self) -> Session:
        self._wire = await self._connect()
        try:
            features = await self._dialogue()
        except (Lost, ReplyError) as error:
            self._wire.abort("handshake failed")
            raise self._no_session("4.4.2", str(error)) from None
        except BaseException:
            self._wire.abort("handshake failed")
            raise
        return Session(self._wire, self._peer, features)

    async def _connect(self) -> Wire:
        target = self._target
        try:
            async with asyncio.timeout(self._limit(self._timeouts.connect)):
                _, wire = await self._loop.create_connection(
                    Wire,
                    target.address,
                    target.port,
                    local_addr=(target.source, 0) if target.source else None,
                )
        except TimeoutError:
            raise self._no_session("4.4.1", "no connection in time") from None
        except OSError as error:
            raise self._no_session("4.4.1", error.strerror or "no connection") from None
        return wire

    def _limit(self, seconds: float) -> float:
        """Seconds that this step may take, of those that are left for all; above 0."""
        return max(min(seconds, self._until - self._loop.time()), 0.001)

    async def _dialogue(self) -> Features:
        if self._target.tls is TlsPolicy.IMPLICIT:
            await self._encrypt()
        self._stage = Stage.GREETING
        greeting = await self._wire.reply(self._limit(self._timeouts.greeting))
        self._require(greeting, Stage.GREETING)
        self._demand_another(greeting)
        features = await self._ehlo()
        if await self._starttls(features):
            # RFC 3207 §4.2: knowledge from before the negotiation is discarded.
            features = await self._ehlo()
        if self._target.username:
            await self._sign_in(features)
        return features

    def _demand_another(self, reply: Reply) -> None:
        """RFC 5321 §4.2: greeting and answer to EHLO begin with the name of the server.

        Ours means that mail would come back for ever (RFC 3463 §3.5, X.4.6): an address that is
        translated on the way to this host is not one that it knows as its own.
        """
        name = reply.lines[0].partition(" ")[0].rstrip(".")
        if name.lower() != self._ehlo_name.lower():
            return
        text = "the server is this service itself"
        found = (Verdict.BOUNCED, "5.4.6") if self._target.is_mx else (Verdict.RETRY, "4.4.6")
        raise SessionError(
            self._peer.outcome(found[0], Scope.INFRASTRUCTURE, found[1], text, stage=self._stage)
        )

    async def _ehlo(self) -> Features:
        self._stage = Stage.EHLO
        reply = await self._ask(f"EHLO {self._ehlo_name}")
        if reply.code // 100 == 2:
            self._demand_another(reply)
            return parse_features(reply)
        if reply.code in (500, 501, 502, 504):
            # RFC 5321 §3.2: an old server that knows only HELO announces nothing.
            helo = await self._ask(f"HELO {self._ehlo_name}")
            if helo.code // 100 == 2:
                return Features()
        raise SessionError(self._peer.judged(reply, Stage.EHLO))

    async def _starttls(self, features: Features) -> bool:
        """Whether the channel was encrypted here. Raises SessionError where the policy needs it."""
        policy = self._target.tls
        if policy not in (TlsPolicy.STARTTLS, TlsPolicy.OPPORTUNISTIC):
            return False
        self._stage = Stage.STARTTLS
        if "STARTTLS" not in features.keywords:
            self._note(TlsResult.NOT_OFFERED)
            if policy is TlsPolicy.OPPORTUNISTIC:
                return False
            raise self._no_session("4.7.4", "the server offers no TLS, the route requires it")
        self._note(TlsResult.FAILED)
        try:
            reply = await self._ask("STARTTLS")
        except Lost as error:
            if policy is not TlsPolicy.OPPORTUNISTIC:
                raise
            raise self._no_tls(str(error)) from None
        # A server that has no time now may have TLS later.
        if reply.code not in (220, 421) and policy is TlsPolicy.OPPORTUNISTIC:
            return False
        self._require(reply, Stage.STARTTLS)
        if self._wire.pending:
            # Commands or replies injected before the encryption (CVE-2011-0411 and its kin).
            raise self._no_session("4.7.0", "the server sent more in clear after STARTTLS")
        await self._encrypt()
        return True

    def _note(self, result: TlsResult) -> None:
        self._peer = replace(self._peer, evidence=Evidence(result=result))

    async def _encrypt(self) -> None:
        self._stage = Stage.STARTTLS
        lenient = self._target.tls is TlsPolicy.OPPORTUNISTIC and not self._target.username
        context = self._contexts.unverified if lenient else self._contexts.verified
        limit = self._limit(self._timeouts.tls)
        try:
            found = await self._wire.start_tls(context, self._target.host, limit)
        except ssl.SSLCertVerificationError as error:
            raise self._no_tls(f"certificate not accepted: {error.verify_message}") from None
        except ssl.SSLError as error:
            raise self._no_tls(f"TLS failed: {error.reason or 'protocol error'}") from None
        except (OSError, Lost):
            raise self._no_tls("TLS failed: connection closed") from None
        self._peer = replace(self._peer, evidence=found)

    async def _sign_in(self, features: Features) -> None:
        self._stage = Stage.AUTH
        if not self._peer.evidence.verified:
            raise self._route_error("4.7.0", "credentials are sent over verified TLS only")
        if "PLAIN" in features.mechanisms:
            reply = await self._auth_plain()
        elif "LOGIN" in features.mechanisms:
            reply = await self._auth_login()
        else:
            raise self._route_error("4.7.4", "the server offers neither AUTH PLAIN nor AUTH LOGIN")
        self._require(reply, Stage.AUTH)

    async def _auth_plain(self) -> Reply:
        """RFC 4616, with the initial response of RFC 4954 §4."""
        secret = f"\0{self._target.username}\0{self._target.password}"
        if secret.count("\0") != 2:
            raise self._route_error("4.7.0", "user name or password holds a NUL character")
        encoded = b64encode(secret.encode()).decode()
        reply = await self._ask(f"AUTH PLAIN {encoded}")
        return await self._ask(encoded) if reply.code == 334 else reply

    async def _auth_login(self) -> Reply:
        reply = await self._ask("AUTH LOGIN")
        for value in (self._target.username, self._target.password):
            if reply.code != 334:
                break
            reply = await self._ask(b64encode(value.encode()).decode())
        return reply

    async def _ask(self, command: str) -> Reply:
        self._wire.write(f"{command}\r\n".encode("ascii"))
        return await self._wire.reply(self._limit(self._timeouts.command))

    def _require(self, reply: Reply, stage: Stage) -> None:
        if reply.code // 100 != 2:
            raise SessionError(self._peer.judged(reply, stage))

    def _no_tls(self, text: str) -> SessionError:
        self._note(TlsResult.FAILED)
        return self._no_session("4.7.5", text, tls=True)

    def _no_session(self, enhanced: str, text: str, *, tls: bool = False) -> SessionError:
        outcome = self._peer.outcome(
            Verdict.RETRY, Scope.INFRASTRUCTURE, enhanced, bounded_text(text), stage=self._stage
        )
        return SessionError(outcome, tls=tls)

    def _route_error(self, enhanced: str, text: str) -> SessionError:
        return SessionError(
            self._peer.outcome(Verdict.RETRY, Scope.ROUTE, enhanced, text, stage=self._stage)
        )


_SIZE = re.compile(r"[0-9]{1,18}")


def parse_features(reply: Reply) -> Features:
    """Read the keywords of an EHLO reply (RFC 5321 §4.1.1.1)."""
    keywords, mechanisms, size = set(), set(), 0
    for line in reply.lines[1:]:
        words = line.upper().split()
        # "AUTH=PLAIN LOGIN" is an old form that servers still send.
        if words and words[0].startswith("AUTH="):
            words = ["AUTH", *" ".join(words)[5:].split()]
        if not words:
            continue
        keywords.add(words[0])
        if words[0] == "AUTH":
            mechanisms.update(words[1:])
        elif words[0] == "SIZE" and len(words) > 1 and _SIZE.fullmatch(words[1]):
            size = int(words[1])
    return Features(frozenset(keywords), frozenset(mechanisms), size)
