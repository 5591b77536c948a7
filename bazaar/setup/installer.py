"""Installs the packages of a requirements file into .venv, whatever the settings of the machine's pip and uv.

    .venv/bin/python -I bazaar/setup/installer.py install .venv FILE    with uv, if it is on PATH, else with pip
    .venv/bin/python -I bazaar/setup/installer.py check .venv FILE      are all pinned packages there, for this Python?

It needs only the standard library, because it runs before any package is installed. Of the settings of pip and uv it uses
those that say how packages are reached (index, proxy, certificate). It ignores those that say which packages go where: a
PIP_TARGET, PIP_USER or a constraint is meant for other projects.
"""

from __future__ import annotations

import ast
import contextlib
import importlib.metadata
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import sysconfig
from collections.abc import Mapping, Sequence
from pathlib import Path

REACH = {
    "cache-dir", "cert", "client-cert", "default-timeout", "extra-index-url", "find-links", "index-url", "keyring-provider",
    "no-cache-dir", "no-index", "proxy", "retries", "timeout", "trusted-host",
}  # fmt: skip
"""Options of pip that say how packages are reached."""

UV_REACH = re.compile(
    r"UV_((DEFAULT_|EXTRA_)?INDEX(_\w+)?|FIND_LINKS|OFFLINE|NO_CACHE|CACHE_DIR|LINK_MODE|INSECURE_HOST|KEYRING_PROVIDER"
    r"|NATIVE_TLS|SYSTEM_CERTS|HTTP_\w+|CONCURRENT_\w+)$"
)

MARKERS = {
    "sys_platform": sys.platform,
    "platform_machine": platform.machine(),
    "platform_system": platform.system(),
    "python_version": f"{sys.version_info.major}.{sys.version_info.minor}",
}

NOT_ALL_THERE, OTHER_PYTHON = 3, 4

_interrupts: list[int] = []


def pins(file: Path) -> dict[str, str]:
    """Name and version of each package that `file`, and each file that it includes, asks for on this machine."""
    found: dict[str, str] = {}
    for line in file.read_text(encoding="utf-8").splitlines():
        wanted, _, _ = line.partition("#")
        if wanted.startswith("-r "):
            found |= pins(file.parent / wanted[3:].strip())
        elif wanted.strip():
            pin, _, marker = wanted.partition(";")
            if not marker.strip() or eval(marker, {"__builtins__": {}}, MARKERS):  # our own files: Python's own grammar
                name, _, version = pin.strip().partition("==")
                found[name] = version
    return found


def missing(file: Path) -> list[str]:
    """The packages that `file` asks for and this Python lacks, as `name==version`."""
    lacking = []
    for name, version in pins(file).items():
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            if importlib.metadata.version(name) == version:
                continue
        lacking.append(f"{name}=={version}")
    return lacking


def install(venv: Path, file: Path) -> str:
    """Installs the packages. Returns an empty string, or one line that says why it could not be done."""
    python, log = venv / "bin" / "python", venv / "pip.log"
    log.unlink(missing_ok=True)
    here = {"TMPDIR": str(venv)}  # /tmp may be small, full, or not writable
    if uv := shutil.which("uv"):
        command = [uv, "pip", "install", "--no-config", "--compile-bytecode", "--python", str(python), "-r", str(file)]
        if _told([*command, "--no-progress"], {**uv_environment(os.environ), **here}, log) == 0 and _checked(
            python, venv, file
        ):
            return ""
        _say("  uv could not do it; now with pip ...")
    module = [str(python), "-I", "-m"]
    if not (venv / "bin" / "pip").exists():
        _told([*module, "ensurepip"], {**os.environ, **here}, log)
    command = [*module, "pip", "install", "--no-input", "--progress-bar", "off", "-r", str(file)]
    if _told(command, {**pip_environment(os.environ), **_configured(module), **here}, log) == 0 and _checked(
        python, venv, file
    ):
        return ""
    said = log.read_text(errors="replace").splitlines() if log.exists() else []
    if any("connection broken" in line or "Could not fetch URL" in line for line in said):
        return f"the packages cannot be reached; is there a network? All that was said is in {log}"
    errors = [line.strip() for line in said if line.startswith(("ERROR", "error", "OSError"))]
    return f"{errors[-1] if errors else 'is there a network?'}; all that was said is in {log}"


def pip_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment for pip. Of pip's settings it has only those that say how packages are reached."""
    reach = {f"PIP_{option.upper().replace('-', '_')}" for option in REACH}
    return {name: value for name, value in environment.items() if not name.startswith("PIP_") or name in reach}


def uv_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment for uv. Of uv's settings it has only those that say how packages are reached."""
    foreign = ("VIRTUAL_ENV", "CONDA_PREFIX")
    return {
        name: value
        for name, value in environment.items()
        if name not in foreign and (not name.startswith("UV_") or UV_REACH.match(name))
    }


def settings_of(listing: str) -> dict[str, str]:
    """The settings in `pip config list` that say how packages are reached, as variables.

    The variables also keep pip from reading any file of settings.
    """
    found = {"PIP_CONFIG_FILE": os.devnull, "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    for section in ("global", "install", ":env:"):  # the later one counts
        for line in listing.splitlines():
            key, _, value = line.partition("=")
            where, _, option = key.rpartition(".")
            if where == section and option in REACH:
                with contextlib.suppress(SyntaxError, ValueError):
                    found[f"PIP_{option.upper().replace('-', '_')}"] = " ".join(str(ast.literal_eval(value)).split())
    return found


def progress(line: str) -> str:
    """What a line of pip or uv tells somebody who waits; empty if it tells nothing."""
    if match := re.search(
        r"Downloading (\w+?)(?:-\d\S*)? \((\S+ ?[MG]i?B)\)", line
    ):  # smaller packages are there at once
        return f"fetching {match[1]} ({match[2]})"
    if (match := re.match(r"Installing collected packages: (.*)", line)) and "pip" not in match[1]:
        return f"installing {match[1].count(',') + 1} packages ..."
    if match := re.match(r"\s*(?:Resolved|Prepared|Installed|Bytecode compiled) \d+ .* in .*", line):
        return match[0].strip()
    return ""


def _configured(module: Sequence[str]) -> dict[str, str]:
    environment = pip_environment(os.environ)
    if "PIP_CONFIG_FILE" in os.environ:
        environment["PIP_CONFIG_FILE"] = os.environ["PIP_CONFIG_FILE"]
    command = [*module, "pip", "config", "list"]
    return settings_of(subprocess.run(command, env=environment, capture_output=True, text=True, check=False).stdout)


def _checked(python: Path, venv: Path, file: Path) -> bool:
    command = [str(python), "-I", __file__, "check", str(venv), str(file)]
    return subprocess.run(command, stdout=subprocess.DEVNULL, check=False).returncode == 0


def _told(command: Sequence[str], environment: Mapping[str, str], log: Path) -> int:
    """Runs the command until its last process ends. All output goes to the log, and the progress to the terminal, too."""
    with (
        log.open("ab") as file,
        subprocess.Popen(
            command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        ) as process,
    ):
        assert process.stdout is not None
        for line in process.stdout:
            file.write(line)
            if told := progress(line.decode(errors="replace")):
                _say(f"  {told}")
    if _interrupts:
        raise KeyboardInterrupt
    return process.returncode


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def main(what: str, venv: str, file: str) -> int:
    """Returns 0: done, or complete; 2: failed, and one line says why; 3: incomplete; 4: not of this Python; 130: Ctrl-C."""
    if what == "check":
        if not Path(sysconfig.get_path("purelib")).is_dir():
            return OTHER_PYTHON
        return NOT_ALL_THERE if missing(Path(file)) else 0
    signal.signal(signal.SIGINT, lambda number, _: _interrupts.append(number))  # pip gets it too; we end after pip
    try:
        problem = install(Path(venv), Path(file))
    except KeyboardInterrupt:
        return 130
    if problem:
        _say(f"Cannot install {Path(file).name}: {problem}")
    return 2 if problem else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
