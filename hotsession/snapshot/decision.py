"""Whether there is a snapshot, and why: under a dev server, unless the environment says otherwise.

It knows nothing about files and records.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from hotsession.errors import ConfigurationError
from hotsession.surroundings.processes import UNKNOWN, parent_pid, process_started
from hotsession.surroundings.reloaders import DevServer, ReloaderUnknown, dev_server, is_reloader_itself

SWITCH = "HOTSESSION"
STATE = "HOTSESSION_STATE"
_SURVIVES = "Kept state survives restarts by"
_LOST = "Kept state does not survive a restart"
_DECIDES = f"{SWITCH}=on or {SWITCH}=off decides"


@dataclass(frozen=True)
class Decision:
    """What was decided.

    Args:
        on: whether there is a snapshot.
        why: in a sentence, for the log.
        server: the dev server that it belongs to; None if it is off.
        lasting: the directory in which it is to outlast the dev server, if one is asked for.
        tell: whether people should be told even though it is off.
        final: False while `multiprocessing` prepares this process, when it can't be told yet: decide again later.
    """

    on: bool
    why: str
    server: DevServer | None = None
    lasting: Path | None = None
    tell: bool = False
    final: bool = True


def decide(
    environ: Mapping[str, str] = os.environ,
    *,
    find: Callable[[], DevServer | None] = dev_server,
    is_reloader: Callable[[], bool] = is_reloader_itself,
) -> Decision:
    """Decide whether this process has a snapshot.

    Args:
        environ: HOTSESSION is ``on`` or ``off`` and decides over all else; HOTSESSION_STATE is a directory in which the
            snapshot outlasts the dev server.
        find: finds the dev server above this process.
        is_reloader: whether this process is a reloader itself, which has the app imported only to look at it.

    Raises:
        ConfigurationError: HOTSESSION is neither ``on`` nor ``off``.
    """
    switch = environ.get(SWITCH, "").strip().lower()
    if switch not in ("", "on", "off"):
        raise ConfigurationError(
            f"{SWITCH}={environ[SWITCH]} is neither on nor off: set it to one of them, or unset it"
        )
    if switch == "off":
        return Decision(on=False, why=f"{_LOST}: {SWITCH}=off")
    lasting = lasting_place(environ)
    try:
        server = find()
    except ReloaderUnknown as error:
        if error.for_now:
            return Decision(on=False, why=f"{_LOST}: {error}", final=False)
        return _forced(lasting) if switch else _unknown(error)
    if server is not None:
        return Decision(on=True, why=f"{_SURVIVES} {server}", server=server, lasting=lasting)
    if is_reloader():
        return Decision(on=False, why=f"{_LOST}: this process is the reloader itself")
    return _forced(lasting) if switch else _none(lasting)


def lasting_place(environ: Mapping[str, str]) -> Path | None:
    """The directory that HOTSESSION_STATE names, made absolute, or None."""
    named = environ.get(STATE, "").strip()
    return Path(os.path.abspath(os.path.expanduser(named))) if named else None  # noqa: PTH100, PTH111 - "~nobody" stays


def _forced(lasting: Path | None) -> Decision:
    """On because people say so: whatever started this process has to do as the dev server."""
    pid = parent_pid() or os.getpid()  # the first process of a container has none above it
    server = DevServer("the process above", pid, process_started(pid) or UNKNOWN)
    return Decision(on=True, why=f"{_SURVIVES} {server}, as {SWITCH}=on says", server=server, lasting=lasting)


def _unknown(error: ReloaderUnknown) -> Decision:
    why = f"{_LOST}, as it can't be told whether a reloader restarts this process ({error}): {_DECIDES}"
    return Decision(on=False, why=why, tell=True)


def _none(lasting: Path | None) -> Decision:
    why = f"{_LOST}: no reloader restarts this process"
    if lasting is None:
        return Decision(on=False, why=why)
    return Decision(on=False, why=f"{why}, so that {STATE} is not used: {_DECIDES}", tell=True)
