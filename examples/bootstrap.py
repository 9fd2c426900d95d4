"""Makes the virtual environment that the examples and the tests run in, on a machine that has nothing but Python.

`python3 -m examples` and `python3 -m tests` begin here. It also runs on Pythons that are too old for hotsession, to say
so and to go on with a newer one of the same machine.
"""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
OLDEST = (3, 11)
NEWER = ("python3.13", "python3.12", "python3.11", "python3.14", "python3", "python")
# a Python that is new enough and can make virtual environments (Debian splits that off)
PROBE = f"import sys, venv, ensurepip; assert sys.version_info >= {OLDEST}"


def environment(*groups: str) -> Path:
    """Make the virtual environment, or bring it up to date, and return its Python.

    It is ``.venv`` in the repository, or what the variable HOTSESSION_VENV says.

    Args:
        groups: the dependency groups of ``pyproject.toml`` to install beside hotsession itself.
    """
    directory = Path(os.environ.get("HOTSESSION_VENV") or ROOT / ".venv").absolute()
    python = directory / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    stamp = directory / "-".join(("hotsession-installed", *groups))
    wanted = hashlib.sha256(str(ROOT).encode() + (ROOT / "pyproject.toml").read_bytes()).hexdigest()
    if not (python.exists() and stamp.exists() and stamp.read_text() == wanted):
        print(f"Setting up {directory} (once; takes half a minute) ...", flush=True)
        if not python.exists():
            subprocess.run([_suitable_python(), "-m", "venv", "--clear", str(directory)], check=True)
        _install(str(python), groups)
        stamp.write_text(wanted)
    return python


def become(*command: str) -> None:
    """Run `command` in place of this process, so that Ctrl+C and the exit code are its own."""
    if os.name == "nt":
        sys.exit(subprocess.call(command))
    sys.stdout.flush()
    os.execv(command[0], command)


def _install(python: str, groups: "tuple[str, ...]") -> None:
    pip = [python, "-m", "pip", "--disable-pip-version-check", "--quiet", "install"]
    subprocess.run([*pip, "--upgrade", "pip>=25.1"], check=True)  # the first that knows dependency groups
    options = [part for group in groups for part in ("--group", f"{ROOT / 'pyproject.toml'}:{group}")]
    subprocess.run([*pip, "--editable", f"{ROOT}[standard,testing]", *options], check=True)


def _suitable_python() -> str:
    """The Python that runs this, or else another one of this machine that will do."""
    own = f"{sys.executable} (Python {sys.version_info[0]}.{sys.version_info[1]})"
    installed = (Path.home() / ".pyenv" / "versions").glob("3.1[1-9]*/bin/python")
    for candidate in [sys.executable, *filter(None, map(shutil.which, NEWER)), *map(str, installed)]:
        if _will_do(candidate):
            if candidate != sys.executable:
                print(f"{own} won't do; going on with {candidate}", flush=True)
            return candidate
    sys.exit(
        f"hotsession needs Python {OLDEST[0]}.{OLDEST[1]} or newer with its venv module; {own} won't do, and no "
        "other was found. Get one from https://www.python.org/downloads/ (Debian, Ubuntu: apt install python3-venv)."
    )


def _will_do(python: str) -> bool:
    found = subprocess.run([python, "-c", PROBE], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
    return found.returncode == 0
