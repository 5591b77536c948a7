"""How long the launcher waits at the most. Each duration that depends on the settings has its own bound."""

from __future__ import annotations

from bazaar.protocol.settings import Settings

CRIPPLED_S = 5.0  # to bring the work under way to its end after the loss of a process that all of it needs
LAST_REPORTS_S = 1.0  # answers are reported a moment after they are given
UNDER_WAY_S = 20.0


def finishing_s(settings: Settings) -> float:
    """To bring the work under way to its end.

    The last deaths have to be noticed, and the leases of the dead traders have to run out.
    """
    return UNDER_WAY_S + 4 * settings.suspect_after_s + 2 * settings.lease_s


def standstill_s(settings: Settings) -> float:
    """Without any answer: after this time a market that has lost a process will not go on any more."""
    s = settings
    elections_s = s.traders * (2 * s.election_timeout_s + s.reelection_delay_s) + s.election_delay_s
    opening_s = s.opening_delay_s + s.registration_delay_s
    return finishing_s(s) + elections_s + opening_s + 2 * s.answer_timeout_s + s.think_s
