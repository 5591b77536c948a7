"""The page of a run: one HTML file, from its parts in this folder and the data of one run.

The page loads nothing from anywhere. Nothing in the data can be executed, for three reasons. The data are JSON in which no
tag can end or begin. The page inserts them as text only. The page's policy (W3C, Content Security Policy 3) allows only the
script with the digest of our own. `uPlot.*` is Leon Sorokin's uPlot 1.6.32, unchanged, with its licence beside it.
"""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path

import msgspec

PARTS = Path(__file__).parent
STYLES = ("uPlot.min.css", "page.css")
SCRIPTS = ("uPlot.iife.min.js", "model.js", "charts.js", "market.js", "orders.js", "live.js", "page.js")


def page(data: object) -> str:
    """The whole page. `data`: the value that `page.js` reads; msgspec must be able to encode it."""
    style, script = ("\n".join(map(_part, names)) for names in (STYLES, SCRIPTS))
    policy = "; ".join(
        (
            "default-src 'none'",
            f"style-src {_digest(style)}",
            f"script-src {_digest(script)}",
            "connect-src 'self'",
            "base-uri 'none'",
            "form-action 'none'",
        )
    )
    blanks = {
        "POLICY": policy,
        "STYLE": style,
        "SCRIPT": script,
        "DATA": embedded(data),
    }
    pieces = _part("page.html").split("@@")  # text, the name of a blank, text, ...
    return "".join(blanks[piece] if number % 2 else piece for number, piece in enumerate(pieces))


def embedded(data: object) -> str:
    """The data as JSON that can be embedded in a page: no tag ends or begins in it."""
    return msgspec.json.encode(data).decode().replace("<", "\\u003c")


def _digest(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _part(name: str) -> str:
    return (PARTS / name).read_text(encoding="utf-8")
