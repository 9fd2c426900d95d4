"""Has another process read a snapshot through (`probe.py`), which may crash at it in place of this one."""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
from importlib.util import find_spec
from pathlib import Path

logger = logging.getLogger("hotsession")

_PROBE = Path(__file__).with_name("probe.py")
_PATIENCE = 30.0  # seconds, and one more for every ...
_PACE = 20 << 20  # ... bytes
_FOUND = 3  # what the probe exits with when it found a problem


def probed(data: Path, *, at_rest: bool) -> str | None:
    """What is wrong with a data file; None if nothing is, or if that can't be told (the log says why).

    Args:
        data: the file.
        at_rest: whether nobody has it open, so that it can be looked at even more closely.
    """
    command = _command(data, at_rest=at_rest)
    if command is None:
        return None
    seconds = _PATIENCE + data.stat().st_size / _PACE
    try:
        done = subprocess.run(  # noqa: S603 - this interpreter and our own script
            command, capture_output=True, text=True, timeout=seconds, check=False, cwd="/"
        )
    except subprocess.TimeoutExpired:
        return f"it could not be read through within {seconds:.0f} seconds"
    except OSError as error:
        logger.warning("The snapshot in %s can't be checked: %s", data.parent, error)
        return None
    if done.returncode not in (0, _FOUND):
        logger.warning("The snapshot in %s can't be checked: %s", data.parent, done.stderr.strip() or done.returncode)
    return done.stdout.strip() if done.returncode == _FOUND else None


def probe_in_background(data: Path, verdict: Path) -> None:
    """Have it read through while it is used; if that finds a problem, the log says so and `verdict` tells the next."""
    command = _command(data, at_rest=False)
    if command is None:
        return
    quiet = subprocess.DEVNULL
    try:
        process = subprocess.Popen(  # noqa: S603 - as above
            [*command, str(verdict)], stdin=quiet, stdout=quiet, stderr=quiet, cwd="/", start_new_session=True
        )
    except OSError as error:
        logger.warning("The snapshot in %s can't be checked: %s", data.parent, error)
        return
    threading.Thread(target=_report, args=(process, data), name="hotsession-probe", daemon=True).start()


def _report(process: subprocess.Popen[bytes], data: Path) -> None:
    if process.wait() == _FOUND:
        logger.error("The snapshot in %s is damaged: the next restart begins without it", data.parent)


def _command(data: Path, *, at_rest: bool) -> list[str] | None:
    engine = find_spec("lmdb")
    if not sys.executable or engine is None or engine.origin is None:
        return None
    # Isolated: what lies in the project or in PYTHONPATH must not be taken for what the probe imports.
    mode = "rest" if at_rest else "live"
    return [sys.executable, "-I", "-S", str(_PROBE), mode, str(data), str(Path(engine.origin).parents[1])]
