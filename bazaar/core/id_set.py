"""A set of names that end in a number, such as `buyer0-17`: it needs one bit for each number up to the highest."""

from __future__ import annotations

from collections.abc import Iterable

PAGE = 8192  # numbers in a page; a name far from all others costs one page, a kibibyte


class IdSet:
    """For each prefix (`buyer0-`) it keeps one bit per number, in pages. Names of another form are kept as they are."""

    def __init__(self, names: Iterable[str] = ()) -> None:
        self._pages: dict[tuple[str, int], bytearray] = {}
        self._others: set[str] = set()
        for name in names:
            self.add(name)

    def __contains__(self, name: str) -> bool:
        beginning, number = _split(name)
        if number is None:
            return name in self._others
        page = self._pages.get((beginning, number // PAGE))
        return page is not None and bool(page[number % PAGE >> 3] & 1 << (number & 7))

    def add(self, name: str) -> None:
        """Adds the name."""
        beginning, number = _split(name)
        if number is None:
            self._others.add(name)
            return
        key = (beginning, number // PAGE)
        page = self._pages.get(key)
        if page is None:
            page = self._pages[key] = bytearray(PAGE // 8)
        page[number % PAGE >> 3] |= 1 << (number & 7)

    def discard(self, name: str) -> None:
        """Removes the name, if it is there."""
        beginning, number = _split(name)
        if number is None:
            self._others.discard(name)
        elif (page := self._pages.get((beginning, number // PAGE))) is not None:
            page[number % PAGE >> 3] &= ~(1 << (number & 7))


def _split(name: str) -> tuple[str, int | None]:
    beginning = name.rstrip("0123456789")
    digits = name[len(beginning) :]
    if not digits or len(digits) > 18 or (digits[0] == "0" and digits != "0"):  # not how numbers are written
        return name, None
    return beginning, int(digits)
