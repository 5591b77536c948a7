"""Cache policies: *may I answer this order from what I know?* and *whom do I tell?*

Each policy is a class in a file of its own. `POLICIES` names the classes. The command line, the plan, the simulator, the
experiments and the audit (through `bazaar.json`) use this list alone.
"""

from __future__ import annotations

from bazaar.core.cache.escrow import EscrowCache
from bazaar.core.cache.policy import Cache
from bazaar.core.cache.shared import SharedCache
from bazaar.core.cache.weak import WeakCache

__all__ = ["POLICIES", "Cache", "EscrowCache", "SharedCache", "WeakCache"]

POLICIES: dict[str, type[Cache]] = {"none": Cache, "weak": WeakCache, "escrow": EscrowCache, "shared": SharedCache}
