"""What stands between a run and whoever reads what it says."""

from __future__ import annotations

import io
import os
from pathlib import Path

import pytest

from bazaar.views.screen import Screen
from tests.waiting import wait_until


def test_what_is_written_arrives_in_its_order() -> None:
    reader = io.StringIO()
    screen = Screen(reader)
    for number in range(1000):
        screen.write(f"{number}\n")
    assert screen.unshown(10.0) == ""
    assert reader.getvalue() == "".join(f"{number}\n" for number in range(1000))


def test_who_does_not_read_is_not_waited_for_and_what_is_lost_is_counted() -> None:
    inside, outside = os.pipe()
    with os.fdopen(outside, "w") as writer:
        screen = Screen(writer, most=5_000)
        for _ in range(3_000):
            screen.write("a hundred characters" * 5 + "\n")
        lost = screen.unshown(0.0)
        assert lost.endswith("lines could not be shown (nobody was reading)")
        assert 1_000 < int(lost.split()[0]) <= 3_000
        os.read(inside, 1 << 20)  # the thread lets go of it
        os.close(inside)
        wait_until(lambda: "Broken pipe" in screen.unshown(0.0) or screen.write("more\n") == 0)


def test_a_reader_that_has_gone_loses_the_rest() -> None:
    inside, outside = os.pipe()
    os.close(inside)
    with os.fdopen(outside, "w") as writer:
        screen = Screen(writer)
        screen.write("one\ntwo\n")
        assert screen.unshown(10.0) == "2 lines could not be shown (Broken pipe)"
        screen.write("three\n")
        assert screen.unshown(10.0) == "3 lines could not be shown (Broken pipe)"


def test_without_any_output_all_of_it_is_lost() -> None:
    screen = Screen(None)
    screen.write("one\n")
    assert screen.unshown(10.0) == "1 lines could not be shown (there is no output)"
    assert not screen.isatty()
    with pytest.raises(OSError, match="fileno"):
        screen.fileno()


def test_what_the_reader_cannot_spell_is_spelt_out(tmp_path: Path) -> None:
    with (tmp_path / "shown.txt").open("w", encoding="ascii") as reader:
        screen = Screen(reader)
        screen.write("caf\u00e9 \udcff\n")
        assert screen.unshown(10.0) == ""
    assert (tmp_path / "shown.txt").read_bytes() == b"caf\\xe9 \\udcff\n"
