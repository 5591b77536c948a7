"""Records a real run of the bazaar as an animated SVG:  .venv/bin/python docs/record.py

The script runs `create_bazaar.py` on a pseudo-terminal, keeps each line that the run prints with its time and its colours,
and writes one picture that scrolls through them at the run's own speed. The picture fetches nothing and runs no script: it
is text, and one CSS animation. `--still S` writes what is to be seen S seconds after the start, without the animation.
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

ERASE_ABOVE = b"\x1b[1A\x1b[2K"  # how the progress bar takes itself away at the end

Line = tuple[float, Text]
"""Seconds since the command was given, and what was printed."""


def record(arguments: list[str], out: Path) -> list[Line]:
    """The lines of a run, as its terminal had them when all was over; a progress bar that was overwritten is not there."""
    ours, its = pty.openpty()
    fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    command = [sys.executable, str(ROOT / "create_bazaar.py"), *arguments, "--out", str(out)]
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": str(COLUMNS)}
    start = time.monotonic()
    lines = [(0.0, Text(f"$ bash run.sh {' '.join(arguments)}", style="bold"))]
    rest = b""
    with subprocess.Popen(command, stdin=its, stdout=its, stderr=its, env=environment, cwd=ROOT):
        os.close(its)
        while data := _read(ours):
            *whole, rest = (rest + data).split(b"\n")
            at_s = time.monotonic() - start
            for line in whole:
                if ERASE_ABOVE in line:
                    lines.pop()
                lines.append((at_s, Text.from_ansi(line.rstrip(b"\r").decode())))
    return lines


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError:  # Linux says so when the last process has closed its end
        return b""


def animated(lines: list[Line]) -> str:
    """The picture of all lines, scrolled by an animation."""
    total_s = lines[-1][0] + HOLD_S
    steps = [(at_s, len(list(group))) for at_s, group in groupby(lines, key=lambda line: line[0] // STEP_S * STEP_S)]
    frames, shown = [], 0
    for at_s, count in steps:
        shown += count
        frames.append(f"{at_s / total_s:.3%} {{ transform: translateY({_shift(shown)}px) }}")
    style = (
        f"@keyframes scroll {{ {' '.join(frames)} }}\n"
        f"#lines {{ transform: translateY({_shift(len(lines))}px); animation: scroll {total_s:.1f}s step-end infinite }}\n"
        "@media (prefers-reduced-motion: reduce) { #lines { animation: none } }"
    )
    return _picture(lines, style)


def still(lines: list[Line], at_s: float) -> str:
    """The picture at one moment."""
    seen = [line for line in lines if line[0] <= at_s]
    return _picture(lines, f"#lines {{ transform: translateY({_shift(len(seen))}px) }}")


def _shift(shown: int) -> int:
    """How far down the lines are moved so that the last of `shown` is in the lowest row, as on a full terminal."""
    return (ROWS - shown) * LINE_H


def _picture(lines: list[Line], style: str) -> str:
    width, height = round(COLUMNS * CELL_W + 2 * MARGIN), ROWS * LINE_H + 2 * MARGIN
    console = Console(width=COLUMNS, color_system="truecolor", file=sys.stderr)
    texts = "\n".join(_text(console, line, number * LINE_H) for number, (_, line) in enumerate(lines))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img">\n'
        "<title>A run of the bazaar, as its terminal shows it</title>\n"
        f"<style>\ntext {{ font: 12px {FONT}; white-space: pre }}\n{style}\n</style>\n"
        f'<rect width="{width}" height="{height}" rx="8" fill="#0c0c0c"/>\n'
        f'<svg x="{MARGIN}" y="{MARGIN}" width="{width - 2 * MARGIN}" height="{height - 2 * MARGIN}">\n'
        f'<g id="lines" fill="#d9d9d9">\n{texts}\n</g></svg></svg>\n'
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
        lines = record(options.arguments, Path(folder, "run"))
    options.to.write_text(animated(lines) if options.still is None else still(lines, options.still), encoding="utf-8")
    print(f"wrote {options.to}: {len(lines)} lines in {lines[-1][0]:.1f} s, {options.to.stat().st_size // 1024} kB")


if __name__ == "__main__":
    main()
