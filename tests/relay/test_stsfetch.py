# SPDX-License-Identifier: AGPL-3.0-or-later
"""Fetching a domain's policy from a real web server, and from some that are none."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from relay import stsfetch
from relay.egress import Guard
from relay.resolving import Resolver
from relay.smtp import sts
from relay.smtp.tls import make_contexts
from relay.stsfetch import Fetcher, Unfetched
from tests.testbed.certificates import Authority
from tests.testbed.dns import NameServer
from tests.testbed.loop import on_both_loops, on_uvloop

HOST = "mta-sts.modtager.example"
DOCUMENT = "version: STSv1\r\nmode: enforce\r\nmx: *.modtager.example\r\nmax_age: 86400\r\n"
Answer = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


async def good(request: web.BaseRequest) -> web.StreamResponse:
    return web.Response(text=DOCUMENT)


@asynccontextmanager
async def serving(answer: Answer, context: ssl.SSLContext) -> AsyncIterator[int]:
    server = web.Server(answer)
    listener = await asyncio.get_running_loop().create_server(server, "127.0.0.1", 0, ssl=context)
    try:
        yield listener.sockets[0].getsockname()[1]
    finally:
        listener.close()
        await server.shutdown(1)


async def fetched(
    authority: Authority,
    answer: Answer = good,
    context: ssl.SSLContext | None = None,
    address: str = "127.0.0.1",
    *,
    is_open: bool = True,
) -> sts.Policy:
    trusted = make_contexts(str(authority.ca_file)).verified
    with NameServer(f"{HOST}. 60 IN A {address}") as dns:
        async with serving(answer, context or authority.server(HOST)) as port:
            resolver = Resolver([dns.server])
            ports = frozenset({port} if is_open else ())
            guard = Guard(lookup=resolver.addresses, loopback_ports=ports, refusal_seconds=0)
            fetcher = Fetcher(resolver, guard, trusted, port=port)
            return await fetcher.policy("modtager.example")


@pytest.mark.behaviour(34)
@on_both_loops
async def test_policy_is_read_from_its_one_place(authority):
    asked: list[web.BaseRequest] = []

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        asked.append(request)
        return await good(request)

    policy = await fetched(authority, answer)
    assert (policy.mode, policy.mx) == (sts.Mode.ENFORCE, ("*.modtager.example",))
    (request,) = asked
    assert (request.path, request.host.partition(":")[0]) == ("/.well-known/mta-sts.txt", HOST)


@pytest.mark.parametrize("fault", ["expired", "wrong", "unknown"])
@on_uvloop
async def test_certificate_has_to_be_the_web_servers_own(fault, authority, tmp_path_factory):
    context = {
        "expired": authority.expired(HOST),
        "wrong": authority.server("modtager.example"),
        "unknown": Authority(tmp_path_factory.mktemp("other")).server(HOST),
    }[fault]
    with pytest.raises(Unfetched):
        await fetched(authority, context=context)


async def moved(request: web.BaseRequest) -> web.StreamResponse:
    if request.path.endswith("mta-sts.txt"):
        return web.Response(status=301, headers={"Location": "/other"})
    return await good(request)


async def missing(request: web.BaseRequest) -> web.StreamResponse:
    return web.Response(status=404, text=DOCUMENT)


async def page(request: web.BaseRequest) -> web.StreamResponse:
    return web.Response(text=DOCUMENT, content_type="text/html")


async def endless(request: web.BaseRequest) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "text/plain"})
    await response.prepare(request)
    for _ in range(1000):
        await response.write(b"x: y\r\n" * 1000)
    return response


async def empty(request: web.BaseRequest) -> web.StreamResponse:
    return web.Response(text="")


@pytest.mark.parametrize("answer", [moved, missing, page, endless, empty])
@on_uvloop
async def test_anything_but_a_policy_is_none(answer, authority):
    with pytest.raises(Unfetched):
        await fetched(authority, answer)


@pytest.mark.behaviour(29)
@pytest.mark.parametrize("address", ["127.0.0.1", "10.0.0.1", "169.254.169.254"])
@on_uvloop
async def test_web_server_is_sought_at_public_addresses_only(address, authority):
    asked: list[web.BaseRequest] = []

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        asked.append(request)
        return await good(request)

    async with asyncio.timeout(stsfetch.SECONDS / 2):
        with pytest.raises(Unfetched):
            await fetched(authority, answer, address=address, is_open=False)
    assert asked == []


@on_uvloop
async def test_silence_has_an_end(authority, monkeypatch):
    async def silent(request: web.BaseRequest) -> web.StreamResponse:
        await asyncio.sleep(3600)
        raise AssertionError

    monkeypatch.setattr(stsfetch, "SECONDS", 0.5)
    with pytest.raises(Unfetched):
        await fetched(authority, silent)
