"""Records a real run of the bazaar as an animated SVG:  .venv/bin/python docs/record.py

The script runs `create_bazaar.py` on a pseudo-terminal, and keeps each line that the run prints with its time and its colours.
It writes one picture that scrolls through them at the run's own speed, above the pinned board as it was at each moment. The
picture fetches nothing and runs no script: it is text, and two CSS animations. `--still S` writes what is to be seen S seconds
after the start, without the animation.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import pty
import struct
import subprocess
import sys
import tempfile
import termios
import time
from html import escape
from itertools import groupby
from pathlib import Path

from rich.console import Console
from rich.segment import Segment
from rich.terminal_theme import SVG_EXPORT_THEME
from rich.text import Text

ROOT = Path(__file__).parents[1]
ARGUMENTS = "localhost 8 3 --seed 21 --requests 18 --fault kill:trader1@2"
COLUMNS, ROWS = 132, 26
CELL_W, LINE_H, MARGIN = 7.2, 17, 14  # pixels
STEP_S = 0.1  # lines that come within one step scroll together
HOLD_S = 7.0  # the summary stays for so long before the picture begins again
FONT = "ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace"

BOARD_ROWS = 5  # three seats, the goods, the progress
BOARD_STEP_S = 0.5  # the board is drawn more often than anyone can read
ERASE_ABOVE = b"\x1b[1A\x1b[2K"  # how the board takes a row of itself away before it is drawn anew

Line = tuple[float, Text]
"""Seconds since the command was given, and what was printed."""
Board = tuple[float, list[Text]]
"""Seconds since the command was given, and the rows of the pinned board from then on."""


def record(arguments: list[str], out: Path) -> tuple[list[Line], list[Board]]:
    """The lines of a run, as its terminal had them when all was over, and the boards that were pinned below them."""
    ours, its = pty.openpty()
    fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    command = [sys.executable, str(ROOT / "create_bazaar.py"), *arguments, "--out", str(out)]
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": str(COLUMNS)}
    start = time.monotonic()
    lines = [(0.0, Text(f"$ bash run.sh {' '.join(arguments)}", style="bold"))]
    boards: list[Board] = []
    rest = b""
    with subprocess.Popen(command, stdin=its, stdout=its, stderr=its, env=environment, cwd=ROOT):
        os.close(its)
        while data := _read(ours):
            *whole, rest = (rest + data).split(b"\n")
            at_s = time.monotonic() - start
            for line in whole:
                if erased := line.count(ERASE_ABOVE):
                    lowest = Text.from_ansi(line.partition(b"\r")[0].decode())
                    boards.append((lines[-erased][0], [*(row for _, row in lines[-erased:]), lowest][:BOARD_ROWS]))
                    del lines[-erased:]
                lines.append((at_s, Text.from_ansi(line.rstrip(b"\r").decode())))
    return lines, [*boards, (time.monotonic() - start, [])]


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError:  # Linux says so when the last process has closed its end
        return b""


def animated(lines: list[Line], boards: list[Board]) -> str:
    """The picture of all lines and boards, moved by an animation."""
    total_s = lines[-1][0] + HOLD_S
    steps = [(at_s, len(list(group))) for at_s, group in groupby(lines, key=lambda line: line[0] // STEP_S * STEP_S)]
    frames, shown = [], 0
    for at_s, count in steps:
        shown += count
        frames.append(f"{at_s / total_s:.3%} {{ transform: translateY({_shift(shown)}px) }}")
    chosen = [next(group) for _, group in groupby(boards, key=lambda board: board[0] // BOARD_STEP_S)]
    places = [
        f"{at_s / total_s:.3%} {{ transform: translateY({-number * BOARD_ROWS * LINE_H}px) }}"
        for number, (at_s, _) in enumerate(chosen)
    ]
    last = -(len(chosen) - 1) * BOARD_ROWS * LINE_H
    style = (
        f"@keyframes scroll {{ {' '.join(frames)} }}\n@keyframes change {{ {' '.join(places)} }}\n"
        f"#lines {{ transform: translateY({_shift(len(lines))}px); animation: scroll {total_s:.1f}s step-end infinite }}\n"
        f"#board {{ transform: translateY({last}px); animation: change {total_s:.1f}s step-end infinite }}\n"
        "@media (prefers-reduced-motion: reduce) { #lines, #board { animation: none } }"
    )
    return _picture(lines, chosen, style)


def still(lines: list[Line], boards: list[Board], at_s: float) -> str:
    """The picture at one moment."""
    seen = [line for line in lines if line[0] <= at_s]
    board = [board for board in boards if board[0] <= at_s][-1:]
    return _picture(lines, board, f"#lines {{ transform: translateY({_shift(len(seen))}px) }}")


def _shift(shown: int) -> int:
    """How far down the lines are moved so that the last of `shown` is in the row above the board, as on a full terminal."""
    return (ROWS - BOARD_ROWS - shown) * LINE_H


def _picture(lines: list[Line], boards: list[Board], style: str) -> str:
    width, height = round(COLUMNS * CELL_W + 2 * MARGIN), ROWS * LINE_H + 2 * MARGIN
    pinned = BOARD_ROWS * LINE_H
    console = Console(width=COLUMNS, color_system="truecolor", file=sys.stderr)
    texts = "\n".join(_text(console, line, number * LINE_H) for number, (_, line) in enumerate(lines))
    rows = "\n".join(
        _text(console, row, number * pinned + place * LINE_H)
        for number, (_, board) in enumerate(boards)
        for place, row in enumerate(board)
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img">\n'
        "<title>A run of the bazaar, as its terminal shows it</title>\n"
        f"<style>\ntext {{ font: 12px {FONT}; white-space: pre }}\n{style}\n</style>\n"
        f'<rect width="{width}" height="{height}" rx="8" fill="#0c0c0c"/>\n'
        f'<svg x="{MARGIN}" y="{MARGIN}" width="{width - 2 * MARGIN}" height="{height - 2 * MARGIN - pinned}">\n'
        f'<g id="lines" fill="#d9d9d9">\n{texts}\n</g></svg>\n'
        f'<svg x="{MARGIN}" y="{height - MARGIN - pinned}" width="{width - 2 * MARGIN}" height="{pinned}">\n'
        f'<g id="board" fill="#d9d9d9">\n{rows}\n</g></svg></svg>\n'
    )


def _text(console: Console, line: Text, top: int) -> str:
    """One line; each piece of a colour has its place and its width in cells, whatever font the viewer has."""
    pieces, column = [], 0
    for piece, style, _ in Segment.simplify(
        console.render(line, console.options.update(no_wrap=True, overflow="crop"))
    ):
        if (words := piece.rstrip("\n")).strip():
            colour = f' fill="{style.color.get_truecolor(SVG_EXPORT_THEME).hex}"' if style and style.color else ""
            weight = ' font-weight="bold"' if style and style.bold else ""
            place = f'x="{column * CELL_W:.1f}" y="{top + 12}" textLength="{len(words) * CELL_W:.1f}"'
            pieces.append(f"<text {place}{colour}{weight}>{escape(words, quote=False)}</text>")
        column += len(piece)
    return "".join(pieces)


def main() -> None:
    """Runs, records and writes."""
    parser = argparse.ArgumentParser(description="Records a run of the bazaar as an animated SVG.")
    parser.add_argument("--to", type=Path, default=ROOT / "docs" / "images" / "run.svg")
    parser.add_argument("--still", type=float, metavar="S", help="only what is to be seen after S seconds")
    parser.add_argument("arguments", nargs="*", default=ARGUMENTS.split(), help=f"of bash run.sh; default: {ARGUMENTS}")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bazaar-") as folder:
        lines, boards = record(options.arguments, Path(folder, "run"))
    picture = animated(lines, boards) if options.still is None else still(lines, boards, options.still)
    options.to.write_text(picture, encoding="utf-8")
    print(f"wrote {options.to}: {len(lines)} lines in {lines[-1][0]:.1f} s, {options.to.stat().st_size // 1024} kB")


if __name__ == "__main__":
    main()
