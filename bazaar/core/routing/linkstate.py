"""Who misses whom: the reports that a process knows, its own among them.

Each process reports about its own neighbours only, and floods its reports along the edges. A newer report replaces an older
one about the same pair, so the order in which reports arrive does not matter, and all who know the same reports draw the
same conclusions. (This is the idea of OSPF's link-state database, RFC 2328, sections 12 and 13. A report's life and count
take the place of the sequence number.)

A process that learns that it is missed contradicts, if it is alive: it says so in a report about itself. Whoever is missed
and does not contradict is doubted. (SWIM refutes suspicions so: Das, Gupta, Motivala, "SWIM", DSN 2002, section 4.2.)
"""

from __future__ import annotations

from hashlib import blake2b

import msgspec

from bazaar.protocol.frames import Report

FIRST_LIFE = 1
_encode = msgspec.msgpack.Encoder().encode


class LinkState:
    """The reports that one process knows."""

    def __init__(self) -> None:
        self._reports: dict[tuple[str, str], Report] = {}
        self._lives: dict[str, int] = {}
        self.digest = 0
        """Equal for equal sets of reports, and with a chance of 1 in 2^48 for different ones."""

    @property
    def reports(self) -> tuple[Report, ...]:
        """All reports, also those that do not count any more."""
        return tuple(self._reports.values())

    def life_of(self, name: str) -> int:
        """The highest life of a process that was heard of."""
        return self._lives.get(name, FIRST_LIFE)

    def alive(self, name: str, life: int) -> bool:
        """A process has said which life it lives. Returns whether that is news."""
        news = life > self.life_of(name)
        if news:
            self._lives[name] = life
        return news

    def merge(self, report: Report) -> bool:
        """Adds a report. Returns whether it was news."""
        pair = report.by, report.of
        known = self._reports.get(pair)
        if known is not None:
            if _age(report) <= _age(known):
                return False
            self.digest ^= _hash(known)
        self._reports[pair] = report
        self.digest ^= _hash(report)
        self.alive(report.by, report.life)
        self.alive(report.of, report.of_life)
        return True

    def next(self, by: str, life: int, of: str, misses: bool) -> Report:
        """The report with which `by` says that it misses `of` (once more), or hears it. The latter may be known already."""
        known = self._reports.get((by, of))
        same = known is not None and (known.life, known.of_life) == (life, self.life_of(of))
        count = known.count if known is not None and same else 0
        if misses:
            count += 2 if count % 2 else 1
        elif count % 2 or not count:
            count += 1 if count else 2
        return Report(by, life, of, self.life_of(of), count, self._contradicted(of))

    def contradiction(self, me: str, life: int) -> Report | None:
        """The report with which `me` contradicts that it is missed; None if nobody says so."""
        if me not in self.doubted():
            return None
        heard = max(report.heard for report in self.sayings() if report.of == me and report.count % 2)
        return Report(me, life, me, life, heard + 1)

    def doubted(self) -> set[str]:
        """The processes that are missed by somebody, and have not contradicted since."""
        return {
            report.of for report in self.sayings() if report.count % 2 and report.heard >= self._contradicted(report.of)
        }

    def misses(self, by: str, of: str) -> bool:
        """Whether `by` says that it does not hear `of`."""
        report = self._valid(by, of)
        return report is not None and report.count % 2 == 1

    def failures(self, one: str, other: str) -> int:
        """How often one of the two has missed the other in their present lives."""
        reports = self._valid(one, other), self._valid(other, one)
        return sum((report.count + 1) // 2 for report in reports if report is not None)

    def sayings(self) -> list[Report]:
        """All reports about others that count: of the reporter's present life, about the present life of the other."""
        return [report for report in self._reports.values() if report.by != report.of and self._counts(report)]

    def _contradicted(self, name: str) -> int:
        report = self._valid(name, name)
        return 0 if report is None else report.count

    def _valid(self, by: str, of: str) -> Report | None:
        report = self._reports.get((by, of))
        return report if report is not None and self._counts(report) else None

    def _counts(self, report: Report) -> bool:
        return report.life == self.life_of(report.by) and report.of_life == self.life_of(report.of)


def _hash(report: Report) -> int:
    """A checksum such as CRC-32 would not do: it is linear, so alike changes of two reports cancel each other out."""
    return int.from_bytes(blake2b(_encode(report), digest_size=6).digest(), "big")


def _age(report: Report) -> tuple[int, int, int]:
    return report.life, report.of_life, report.count
