# SPDX-License-Identifier: AGPL-3.0-or-later
"""The way mail leaves a storm: its kind of route, the next hops, and the names that lead there."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from config.stack.state import free_port
from tests.rig.service import DOMAIN, Tenant
from tests.storm.client import HERE, NEVER
from tests.storm.farend import ANY_ROUTE, FarEnd
from tests.storm.provider import KEY, NAME, Calls
from tests.testbed.dns import Failure, NameServer
from tests.testbed.proxy import PLAIN, Course, Proxy, Then, Way

ROUTES = ("own", "direct", "esp")
# Two organisations, each with a route of its own, the first with a sandbox beside its live mail.
DOMAINS = (DOMAIN, "anden.example")
RETURNED = "retur.brevdue.example"
API = "api.postmark.example"
# The look-up of a provider's name is the system's; what it answers stands in a file.
NAMES_FILE = "STORM_NAMES"
# A second: what the name servers said is not remembered for longer.
SOA = "{0}. 1 IN SOA ns.{0}. hostmaster.{0}. 1 1 1 1 1"
DEAD = Course(after=0, way=Way.DOWN)


class Names(Protocol):
    """The names that lead to the next hops."""

    def fail(self, failure: Failure | None) -> None:
        """Let them fail in one way, or work again."""


@dataclass(slots=True)
class Onward:
    """`old` are hops that names led to before they flipped; `flipped` what they say after that."""

    kind: str
    hops: list[Proxy]
    tenants: Sequence[Tenant]
    settings: dict[str, str]
    names: Names
    lost: Course  # the answer to a mail's end is lost
    old: Sequence[Proxy] = ()
    zones: tuple[str, str] = ("", "")
    dns: NameServer | None = None

    def flip(self, *, is_back: bool = False) -> None:
        """Let the names say something else."""
        assert self.dns is not None
        self.dns.load(self.zones[not is_back])

    def leave_old(self, *, is_back: bool = False) -> None:
        """Let nobody answer where the names led before."""
        for hop in self.old:
            hop.course = PLAIN if is_back else DEAD
            if not is_back:
                hop.break_off()


@dataclass(slots=True)
class DnsNames:
    """Names that the service asks name servers for."""

    dns: NameServer
    names: Sequence[str]

    def fail(self, failure: Failure | None) -> None:
        for name in self.names:
            self.dns.fail(name, failure)


@dataclass(slots=True)
class SystemNames:
    """A name that the system's library looks up; tests/storm/planted asks this file instead."""

    file: Path
    words: dict[Failure | None, str] = field(
        default_factory=lambda: {
            None: "",
            Failure.SERVFAIL: "again",
            Failure.TIMEOUT: "silent",
            Failure.NXDOMAIN: "unknown",
        }
    )

    def __post_init__(self) -> None:
        self.fail(None)

    def fail(self, failure: Failure | None) -> None:
        self.file.write_text(self.words[failure])


async def leading(kind: str, far_end: FarEnd, home: Path, lines: AsyncExitStack) -> Onward:
    """Build what mail of this kind of route needs; it is taken down with `lines`."""
    lead = {"own": _own, "direct": _direct, "esp": _esp}[kind]
    return await lead(far_end, home, lines)


async def _own(far_end: FarEnd, home: Path, lines: AsyncExitStack) -> Onward:
    hops, others = [], []
    for _ in DOMAINS:
        port = await far_end.listen()
        hop = await lines.enter_async_context(Proxy(port))
        hops.append(hop)
        other = Proxy(port, address="127.0.0.2", port=hop.port)
        others.append(await lines.enter_async_context(other))
    zones = tuple(
        "\n".join(f"{SOA.format(one)}\npost.{one}. 1 IN A {address}" for one in DOMAINS)
        for address in ("127.0.0.1", "127.0.0.2")
    )
    dns = lines.enter_context(NameServer(zones[0]))
    tenants = [
        Tenant(domain, hop.port, route, has_sandbox=not route, host=f"post.{domain}")
        for route, (domain, hop) in enumerate(zip(DOMAINS, hops, strict=True))
    ]
    return Onward(
        kind="own",
        hops=[*hops, *others],
        tenants=tenants,
        settings={"RELAY_RESOLVER": dns.server},
        names=DnsNames(dns, [f"post.{domain}" for domain in DOMAINS]),
        lost=Course(after_dot=True),
        old=hops,
        zones=(zones[0], zones[1]),
        dns=dns,
    )


async def _direct(far_end: FarEnd, home: Path, lines: AsyncExitStack) -> Onward:
    port, target = free_port(), await far_end.listen(route=ANY_ROUTE)
    hops = [
        await lines.enter_async_context(Proxy(target, address=address, port=port))
        for address in ("127.0.0.2", "127.0.0.3")
    ]
    served = (HERE, *DOMAINS)
    zones = (_zone(served, ("mx1", "mx2")), _zone(served, ("mx2",)))
    dns = lines.enter_context(NameServer(zones[0]))
    tenants = [
        Tenant(domain, port, route, has_sandbox=not route, kind="direct")
        for route, domain in enumerate(DOMAINS)
    ]
    settings = {
        "RELAY_RESOLVER": dns.server,
        "RELAY_DIRECT": "true",
        "RELAY_DIRECT_PORT": str(port),
        "RELAY_BOUNCE_DOMAIN": RETURNED,
    }
    return Onward(
        kind="direct",
        hops=hops,
        tenants=tenants,
        settings=settings,
        names=DnsNames(dns, served),
        lost=Course(after_dot=True),
        old=hops[:1],
        zones=zones,
        dns=dns,
    )


def _zone(served: Sequence[str], hosts: Sequence[str]) -> str:
    lines = [f"mx1.{HERE}. 1 IN A 127.0.0.2", f"mx2.{HERE}. 1 IN A 127.0.0.3"]
    for domain in served:
        lines.append(SOA.format(domain))
        lines += [f"{domain}. 1 IN MX {n}0 {host}.{HERE}." for n, host in enumerate(hosts, 1)]
    # RFC 7505: it takes no mail.
    lines.append(f"{NEVER[1]}. 1 IN MX 0 .")
    return "\n".join(lines)


async def _esp(far_end: FarEnd, home: Path, lines: AsyncExitStack) -> Onward:
    hop = await lines.enter_async_context(Proxy(await far_end.listen(Calls)))
    tenants = [
        Tenant(domain, 0, route, has_sandbox=not route, kind="esp", secret=KEY.format(route))
        for route, domain in enumerate(DOMAINS)
    ]
    names = SystemNames(home / "names")
    settings = {"RELAY_ESP_URLS": f"{NAME}=http://{API}:{hop.port}/", NAMES_FILE: str(names.file)}
    lost = Course(after=0, way=Way.DOWN, then=Then.RESET)
    return Onward(
        kind="esp", hops=[hop], tenants=tenants, settings=settings, names=names, lost=lost
    )
