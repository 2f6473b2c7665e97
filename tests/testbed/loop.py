# SPDX-License-Identifier: AGPL-3.0-or-later
"""Runs an asynchronous test on both event loops that the product meets."""

from __future__ import annotations

import asyncio
import functools
import inspect
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import uvloop


def on_both_loops(test: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    """Turn an ``async def`` test into one that runs under asyncio and under uvloop."""
    return _on(test, asyncio.new_event_loop, uvloop.new_event_loop)


def on_uvloop(test: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    """Turn an ``async def`` test into one that runs as mail is delivered, under uvloop."""
    return _on(test, uvloop.new_event_loop)


def _on(
    test: Callable[..., Awaitable[None]], *loops: Callable[[], asyncio.AbstractEventLoop]
) -> Callable[..., None]:
    @pytest.mark.parametrize("new_loop", loops)
    def run(new_loop: Callable[[], asyncio.AbstractEventLoop], **fixtures: Any) -> None:
        with asyncio.Runner(loop_factory=new_loop) as runner:
            runner.run(asyncio.wait_for(test(**fixtures), 60))

    return _with_fixtures_of(test, run)


def _with_fixtures_of(test: Callable[..., Any], run: Callable[..., None]) -> Callable[..., None]:
    own = inspect.signature(test).parameters.values()
    new_loop = inspect.signature(run).parameters["new_loop"]
    marks = run.pytestmark + getattr(test, "pytestmark", [])  # type: ignore[attr-defined]
    functools.update_wrapper(run, test)
    run.pytestmark = marks  # type: ignore[attr-defined]
    run.__signature__ = inspect.Signature([new_loop, *own])  # type: ignore[attr-defined]
    return run
