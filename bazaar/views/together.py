"""The judgement of bazaars that traded with each other, in sentences."""

from __future__ import annotations

from collections.abc import Iterator

from bazaar.analysis.audit.federation import Together


def told_together(together: Together) -> Iterator[str]:
    """The verdict first, then what it rests on, and the story of each violation."""
    counts = together.exercised
    yield f"All bazaars together: {together.verdict}"
    yield (
        f"{counts['orders_abroad']} orders abroad: {counts['bought_abroad']} bought, {counts['unavailable_abroad']} "
        f"unavailable, {counts['unknown_abroad']} unknown, of which {counts['unknown_but_bought']} are in a ledger; "
        f"{counts['repeated_abroad']} were repeated"
    )
    for check, stories in together.violations.items():
        for story in stories:
            yield f"violated: {check}: {story}"
    for reason in together.unknown:
        yield f"not known: {reason}"
