"""The two scripts that the cache server runs (`cache_client.py`). The server does each as a whole, nothing comes in between.

Of each item the server has a sorted set of lots, the lowest clock first, and a hash: how many are left of each lot, and
in all (`left`).
"""

from __future__ import annotations

import hashlib
from functools import cache

EXPIRES_S = 3600  # after the last fill: nothing stays for ever on a server that outlives the run

TAKE = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return -1 end
local units, at = tonumber(ARGV[2]), 0
while true do
  local lot = redis.call('ZRANGE', KEYS[2], at, at)[1]
  if not lot then return 0 end
  local count = tonumber(redis.call('HGET', KEYS[3], lot))
  if count >= units then
    if count == units then
      redis.call('ZREM', KEYS[2], lot)
      redis.call('HDEL', KEYS[3], lot)
    else
      redis.call('HINCRBY', KEYS[3], lot, -units)
    end
    return {lot, count, redis.call('HINCRBY', KEYS[3], 'left', -units)}
  end
  at = at + 1
end
"""
"""Keys: the epoch, the lots, what is left. Arguments: the epoch, units. Returns the lot, its count before, and what is left of
the item; 0 if no lot has as many, -1 for another epoch."""

FILL = f"""
local epoch = redis.call('GET', KEYS[1])
if ARGV[2] == '1' then
  if epoch and string.sub(epoch, 1, 20) >= string.sub(ARGV[1], 1, 20) then return -1 end
  redis.call('DEL', unpack(KEYS))
  redis.call('SET', KEYS[1], ARGV[1])
elseif epoch ~= ARGV[1] then
  return -1
end
for at = 3, #ARGV, 4 do
  local lots, left = KEYS[2 + 2 * ARGV[at]], KEYS[3 + 2 * ARGV[at]]
  redis.call('ZADD', lots, ARGV[at + 1], ARGV[at + 2])
  redis.call('HINCRBY', left, ARGV[at + 2], ARGV[at + 3])
  redis.call('HINCRBY', left, 'left', ARGV[at + 3])
end
for _, key in ipairs(KEYS) do redis.call('EXPIRE', key, {EXPIRES_S}) end
return 1
"""
"""Keys: the epoch, then the lots and what is left of each item. Arguments: the epoch, 1 if it is to begin, then of each lot
the item's number, the clock, the lot, and how many. Returns 1, or -1 for another epoch."""


@cache
def sha(script: str) -> str:
    """The name by which the server knows a script that was loaded."""
    return hashlib.sha1(script.encode(), usedforsecurity=False).hexdigest()
