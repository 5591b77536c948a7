"""A run's folder as a whole. It is made for one run, and removed if the run does not begin.

It is locked as long as any process of the run lives. A file that is added after the run is there whole, or not at all.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from bazaar.protocol.settings import UsageError

LOCKED_FILE = "bazaar.json"


def make(out: Path) -> list[Path]:
    """Makes the folder; returns the new folders, innermost first. Raises `UsageError` if `out` is taken, or cannot be made."""
    try:
        made = [folder for folder in (out, *out.parents) if not folder.exists()]
        if out.exists() and (not out.is_dir() or any(out.iterdir())):
            raise UsageError(f"{out} exists and is not empty; give another folder to --out")
        out.mkdir(parents=True, exist_ok=True)
        out.chmod(0o700)  # it holds the key and the histories
        return made
    except OSError as error:
        raise cannot_write(out, error) from None


def cannot_write(out: Path, error: OSError) -> UsageError:
    """The message for a folder that cannot be written to."""
    return UsageError(f"cannot write to {out}: {error.strerror}; give another folder to --out")


def unmake(out: Path, made: list[Path]) -> None:
    """Removes the folder's contents, and the folders that `make` has made."""
    for path in out.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    for folder in made:
        folder.rmdir()


@contextlib.contextmanager
def in_one_piece(path: Path) -> Iterator[Path]:
    """A file to write instead of `path`. It becomes `path` at the end of the block; after an exception it is deleted."""
    draft = path.with_name(f".{path.name}-{os.getpid()}")
    try:
        yield draft
        draft.replace(path)
    finally:
        with contextlib.suppress(OSError):
            draft.unlink(missing_ok=True)


def lock(out: Path) -> int | None:
    """Locks the folder: the run goes on as long as any process holds the descriptor. None where files cannot be locked."""
    descriptor = os.open(out / LOCKED_FILE, os.O_RDONLY)
    with contextlib.suppress(OSError):
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return descriptor
    os.close(descriptor)
    return None


def is_going_on(out: Path) -> bool:
    """Whether any process of the run in this folder lives, on this machine."""
    with contextlib.suppress(OSError), (out / LOCKED_FILE).open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False
