"""A set of names that end in a number, such as `buyer0-17`: it stays small as long as the numbers are consecutive."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable


class Names:
    """Of each beginning (`buyer0-`) it keeps the ranges of the numbers that it has seen; other names as they are."""

    def __init__(self, names: Iterable[str] = ()) -> None:
        self._ranges: dict[
            str, tuple[list[int], list[int]]
        ] = {}  # ascending: where each begins, and the one after its end
        self._others: set[str] = set()
        for name in names:
            self.add(name)

    def __contains__(self, name: str) -> bool:
        beginning, number = _split(name)
        if number is None:
            return name in self._others
        starts, ends = self._ranges.get(beginning, ([], []))
        at = bisect_right(starts, number) - 1
        return at >= 0 and number < ends[at]

    def add(self, name: str) -> None:
        """Takes the name in."""
        beginning, number = _split(name)
        if number is None:
            self._others.add(name)
            return
        starts, ends = self._ranges.setdefault(beginning, ([], []))
        after = bisect_right(starts, number)
        if after and number < ends[after - 1]:
            return
        meets_next = after < len(starts) and starts[after] == number + 1
        if after and ends[after - 1] == number:
            ends[after - 1] = ends.pop(after) if meets_next else number + 1
            if meets_next:
                starts.pop(after)
        elif meets_next:
            starts[after] = number
        else:
            starts.insert(after, number)
            ends.insert(after, number + 1)


def _split(name: str) -> tuple[str, int | None]:
    beginning = name.rstrip("0123456789")
    digits = name[len(beginning) :]
    if not digits or len(digits) > 18 or (digits[0] == "0" and digits != "0"):  # not how numbers are written
        return name, None
    return beginning, int(digits)
