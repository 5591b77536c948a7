from __future__ import annotations

from pathlib import Path

import pytest

from bazaar.runtime.tail import Tail


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "history.jsonl"


def test_each_line_comes_once_and_an_unfinished_one_when_it_is_whole(path: Path) -> None:
    tail = Tail(path)
    assert tail.new(100) == []  # there is no file yet
    path.write_bytes(b"one\ntwo\nthr")
    assert tail.new(100) == [b"one", b"two"]
    assert tail.new(100) == []
    with path.open("ab") as file:
        file.write(b"ee\n\xff\r\n")
    assert tail.new(100) == [b"three", b"\xff\r"]


def test_no_more_than_so_many_bytes_at_a_time(path: Path) -> None:
    path.write_bytes(b"one\ntwo\nthree\n")
    tail = Tail(path)
    assert [tail.new(9), tail.new(9), tail.new(9)] == [[b"one", b"two"], [b"three"], []]


def test_a_tail_comes_in_pieces_but_a_line_is_whole(path: Path) -> None:
    path.write_bytes(b"1\n2\n" + b"a long one, longer than a piece\n" + b"3\n")
    tail = Tail(path)
    looks = [tail.new(5) for _ in range(4)]
    assert looks[0] == [b"1", b"2"]
    assert looks[1][0] == b"a long one, longer than a piece"
    assert [line for look in looks for line in look][2:] == [b"a long one, longer than a piece", b"3"]


def test_a_tail_that_is_gone_is_no_empty_one(path: Path) -> None:
    path.write_bytes(b"one\n")
    tail = Tail(path)
    tail.new(100)
    path.unlink()
    with pytest.raises(FileNotFoundError):
        tail.new(100)
