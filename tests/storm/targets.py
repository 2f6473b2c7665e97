# SPDX-License-Identifier: AGPL-3.0-or-later
"""What is struck, for how long, and what that may bring about."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from tests.storm import strikes
from tests.storm.onward import ROUTES
from tests.storm.stage import Stage
from tests.testbed.dns import Failure

RECONNECT_BAR = 10.0
UPGRADE_BAR = 5.0
MINUTE = 60.0
# An alert, at most so many seconds after the strike by the service's clock.
QUARTER_OF_AN_HOUR = 900.0
FLOW_BAR = 30.0
RESTING_BAR = 120.0
Act = Callable[[Stage], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """`strike` hurts it, `restore` brings it back, `shortest` to `longest` seconds later.

    `delivers`: it holds leases, and whoever takes them over afterwards is watched. `cuts`: how many
    seconds after the strike deliveries can still be cut off by it, None when it cuts none.
    `keeps`: nobody who was told to go on with the content may lose the connection. `ends`: mail may
    come to its end; the run does, too. `alerts`: what the operator must be told, and how soon.
    `early`: it is there when the first mail of its burst comes. `spread`: over how many seconds the
    mail of its burst comes. `bar`: how soon mail must be
    accepted again, `flow` how soon delivered. `routes`: the kinds that it can be tried on.
    """

    name: str
    strike: Act
    restore: Act = strikes.nothing
    longest: float = 2.0
    shortest: float = 0.0
    delivers: bool = False
    cuts: float | None = None
    early: bool = False
    keeps: bool = False
    ends: bool = False
    alerts: Mapping[str, float] = field(default_factory=dict)
    spread: float = 0.0
    aside: bool = False
    bar: float = RECONNECT_BAR
    flow: float = FLOW_BAR
    fills: bool = False
    routes: Sequence[str] = ROUTES


def quick(route: str = "own") -> list[Target]:
    """What is over within seconds, and can happen to this kind of route."""
    return [one for one in (*_processes(), *_engines(), *_around()) if route in one.routes]


def names(route: str = "own") -> list[Target]:
    """What can become of the names of next hops (F8); one of the first three a run."""
    failures = {"servfail": Failure.SERVFAIL, "timeout": Failure.TIMEOUT}
    if route != "direct":
        # There it says that the address is wrong, and "dns-never" is about that.
        failures["nxdomain"] = Failure.NXDOMAIN
    failing = [
        Target(
            name=f"dns-{name}",
            strike=partial(strikes.fail_names, failure=failure),
            restore=strikes.heal_names,
            early=True,
            # Longer than what was answered before is remembered.
            shortest=3.0,
            longest=6.0,
            spread=4.0,
            cuts=0.5,
            # A hop that was not found rests, for a minute if it was so again after half of one.
            flow=RESTING_BAR,
        )
        for name, failure in failures.items()
    ]
    more = [
        Target(
            name="dns-flip",
            strike=strikes.flip_names,
            restore=strikes.flip_back,
            cuts=0.5,
            flow=RESTING_BAR,
            routes=("own", "direct"),
        ),
        Target(name="dns-never", strike=strikes.write_to_nobody, routes=("direct",)),
    ]
    return failing + [one for one in more if route in one.routes]


def _processes() -> list[Target]:
    return [
        Target(name="smtp", strike=strikes.strike_smtp, restore=strikes.revive_processes),
        Target(
            name="delivery-parent",
            strike=strikes.strike_parent,
            restore=strikes.revive_processes,
            delivers=True,
            # Children that are left behind notice it, and give what they have in hand five seconds.
            cuts=6.5,
        ),
        Target(name="delivery-child", strike=strikes.strike_child, delivers=True, cuts=0.2),
        Target(name="beat", strike=strikes.strike_beat, restore=strikes.revive_processes),
        Target(name="two-beats", strike=strikes.second_beat, restore=strikes.end_second_beat),
    ]


def _engines() -> list[Target]:
    return [
        Target(name="valkey", strike=strikes.strike_valkey, restore=strikes.revive_engines),
        Target(name="valkey-flush", strike=strikes.flush),
        Target(
            name="valkey-full",
            strike=strikes.fill_valkey,
            restore=strikes.empty_valkey,
            longest=6.0,
        ),
        Target(
            name="valkey-line", strike=strikes.cut_redis, restore=strikes.join_redis, longest=5.0
        ),
        Target(
            name="postgresql",
            strike=strikes.strike_postgresql,
            restore=strikes.revive_engines,
            # What was sent meanwhile is noted when it is back, unless its lease ran out before.
            cuts=2.0 + RECONNECT_BAR,
        ),
        Target(
            name="postgresql-line",
            strike=strikes.cut_database,
            restore=strikes.join_database,
            longest=5.0,
            cuts=5.0 + RECONNECT_BAR,
        ),
    ]


def _around() -> list[Target]:
    return [
        Target(
            name="client-line",
            strike=strikes.trouble_clients,
            restore=strikes.calm_clients,
            early=True,
        ),
        Target(
            name="hop",
            strike=strikes.trouble_hops,
            restore=strikes.calm_hops,
            early=True,
            shortest=1.0,
        ),
        Target(
            name="upgrade",
            strike=strikes.ask_to_stop,
            restore=strikes.start_new,
            keeps=True,
            bar=UPGRADE_BAR,
        ),
        # Leases are times, so all of them have run out an hour later; what is under way when the
        # clock is put back is noted by another time than it began.
        Target(name="clock", strike=strikes.hour_ahead, restore=strikes.hour_back, cuts=4.0),
    ]


def lasting(pause: float, lease: float) -> list[Target]:
    """What takes a minute or more, `pause` seconds where that can be chosen; one of them a run."""
    return [*_down(pause), *_watched(lease), *_space_and_time()]


def _down(pause: float) -> list[Target]:
    return [
        Target(
            name="valkey-pause",
            strike=strikes.pause,
            restore=strikes.resume,
            longest=pause,
            shortest=min(pause, 10.0),
        ),
        Target(
            name="postgresql-down",
            strike=strikes.strike_postgresql,
            restore=strikes.revive_engines,
            longest=pause,
            shortest=pause,
            cuts=pause + RECONNECT_BAR,
        ),
    ]


def _watched(lease: float) -> list[Target]:
    return [
        Target(
            name="beat-silent",
            strike=strikes.silence_beat,
            restore=strikes.end_the_hour,
            # The watchers look each minute.
            shortest=MINUTE + 5,
            longest=MINUTE + 5,
            alerts={"beat-silent": QUARTER_OF_AN_HOUR},
        ),
        Target(
            name="poison",
            strike=strikes.poison,
            # Four times a lease and a quiet while.
            spread=4 * (lease + 8),
            aside=True,
            alerts={"mail-quarantined": QUARTER_OF_AN_HOUR, "mail-unopened": QUARTER_OF_AN_HOUR},
        ),
    ]


def _space_and_time() -> list[Target]:
    return [
        Target(
            name="disk",
            strike=strikes.fill_disk,
            restore=strikes.empty_disk,
            shortest=5.0,
            longest=15.0,
            cuts=15.0 + RECONNECT_BAR,
            alerts={"database-full": 15.0 + MINUTE},
            spread=8.0,
            fills=True,
        ),
        Target(name="forty-days", strike=strikes.forty_days, early=True, ends=True),
    ]


def chosen(wanted: list[str], pause: float, lease: float, route: str = "own") -> list[Target]:
    known = (*quick(route), *names(route), *lasting(pause, lease))
    return [target for target in known if target.name in wanted]


def mixed(seed: int, times: int, pause: float, lease: float, route: str = "own") -> list[Target]:
    """All quick ones in an order of this seed, and one that lasts; what ends the run is last."""
    failing = [target for target in names(route) if target.restore is strikes.heal_names]
    others = [target for target in names(route) if target not in failing]
    found = [*quick(route), *others, failing[seed % len(failing)]] * times
    one = lasting(pause, lease)[seed % len(lasting(pause, lease))]
    random.Random(seed).shuffle(found)
    if one.ends:
        return [*found, one]
    # Alerts are timed by the clock that is put an hour ahead and back: that comes before.
    jumps = max(number for number, target in enumerate(found) if target.name == "clock")
    found.insert(random.Random(seed + 1).randint(jumps + 1, len(found)), one)
    return found
