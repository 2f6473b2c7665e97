# SPDX-License-Identifier: AGPL-3.0-or-later
"""Counting over sliding windows in Redis: one script for all who limit tries."""

from __future__ import annotations

from collections.abc import Sequence

# KEYS: whom the try is about, each with the times of its tries. ARGV: now in milliseconds, a name
# for this try, and pairs of limit and window in milliseconds. Counts the try for every key unless
# a window of one is full; returns the milliseconds to wait, 0 when it was counted.
COUNT = """
local now, member = tonumber(ARGV[1]), ARGV[2]
local longest, wait = 0, 0
for i = 3, #ARGV, 2 do
  local limit, window = tonumber(ARGV[i]), tonumber(ARGV[i + 1])
  longest = math.max(longest, window)
  for _, key in ipairs(KEYS) do
    if redis.call('ZCOUNT', key, '(' .. (now - window), '+inf') >= limit then
      local oldest = redis.call('ZRANGE', key, -limit, -limit, 'WITHSCORES')
      wait = math.max(wait, tonumber(oldest[2]) + window - now)
    end
  end
end
if wait > 0 then return wait end
for _, key in ipairs(KEYS) do
  redis.call('ZREMRANGEBYSCORE', key, '-inf', now - longest)
  redis.call('ZADD', key, now, member)
  redis.call('PEXPIRE', key, longest)
end
return 0
"""

# KEYS as above. ARGV: the name of the try that shall not count any more.
FORGET = """
for _, key in ipairs(KEYS) do redis.call('ZREM', key, ARGV[1]) end
return 1
"""


def arguments(now_ms: int, name: str, windows: Sequence[tuple[int, int]]) -> list[int | str]:
    """Return COUNT's arguments; `windows` are pairs of a limit and seconds."""
    pairs = [value for limit, seconds in windows for value in (limit, seconds * 1000)]
    return [now_ms, name, *pairs]
