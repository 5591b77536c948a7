"""The texts grow while the run goes on (requirement I1), and are there when its launcher was killed."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path

import pytest

from bazaar.protocol.plan import load
from bazaar.views.texts import UNFINISHED, narrate
from tests.processes.command import ended, launched, processes_of, run
from tests.processes.market import in_order, sentences_of
from tests.waiting import wait_until

NOWHERE = "mongodb://127.0.0.1:1/"  # nobody asks a MongoDB
LAB = ("localhost", 5, 2, "--seed", 5, "--set", "opening_delay_s=1.5", "--set", "think_s=0.05")
TEXTS = ("output.txt", "trader0.txt", "trader1.txt", "warehouse.txt")


def texts_of(out: Path) -> dict[str, str]:
    return {name: (out / name).read_text() for name in TEXTS}


def test_they_grow_while_the_run_goes_on_and_stay_when_the_launcher_is_killed(tmp_path: Path, mongo_uri: str) -> None:
    out = tmp_path / "run"
    with launched(tmp_path, mongo_uri, *LAB, "--out", out) as command:
        wait_until(lambda: (out / "output.txt").exists() and "purchased" in (out / "output.txt").read_text(), 60)
        before = texts_of(out)
        wait_until(lambda: len((out / "trader0.txt").read_text()) > len(before["trader0.txt"]) + 1000, 60)
        assert command.poll() is None
        assert (out / UNFINISHED).exists()
        command.kill()
        ended(command)
    wait_until(lambda: not processes_of(out), 20)
    left = texts_of(out)
    assert len(left["output.txt"]) > len(before["output.txt"])
    said = sentences_of(out / "output.txt")
    in_order(
        said,
        "Connected successfully to the database",
        r"buyer\d joined the bazaar as .*",
        "Dear buyers and sellers, .*",
        "Waiting 1.5s before starting trading",
        r"2 trader\(s\) in the bazaar, trading can begin!!!",
        r"\w+ is served from cache by Trader\d",
        r'Trader\d cache: \[\{"seller_id": "seller\d+", "count": \d+, "price": \d+, "item": "\w+"\}.*\]',
    )
    assert run(tmp_path, NOWHERE, "judge", out)[0] == 0
    assert not (out / UNFINISHED).exists()
    for name, text in texts_of(out).items():  # nothing that was there is gone
        assert Counter(left[name].splitlines()) - Counter(text.splitlines()) == Counter()
        assert len(text) >= len(left[name])


@pytest.mark.parametrize("more", [(), ("--fault", "pause:trader0@0.5+1", "--fault", "kill:trader1@1.8")])
def test_at_the_end_they_have_the_bytes_of_what_is_told_afterwards(
    more: tuple[str, ...], tmp_path: Path, mongo_uri: str
) -> None:
    out = tmp_path / "run"
    status, said, complained = run(
        tmp_path, mongo_uri, "localhost", 6, 2, "--pace", "fast", "--duration", 3, "--seed", 4, "--out", out, *more
    )
    assert (status, complained) == (0, ""), said
    assert not (out / UNFINISHED).exists()
    copy = shutil.copytree(out, tmp_path / "copy")
    for name in TEXTS:
        (copy / name).unlink()
    narrate(copy, load(copy / "bazaar.json").names)
    assert texts_of(out) == texts_of(copy)
