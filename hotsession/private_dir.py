"""The directory that belongs to this user alone, in which control sockets (and later snapshots) lie.

It is checked before it is trusted: a real directory, of this user, closed to everybody else. It knows nothing about
what is kept in it.
"""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Mapping
from pathlib import Path


def candidates(environ: Mapping[str, str] = os.environ) -> tuple[Path, ...]:
    """Where the directory may be, best first: below the user's run-time directory, else below the temporary one."""
    user = os.geteuid()
    runtime = Path(environ.get("XDG_RUNTIME_DIR") or f"/run/user/{user}")
    temporary = Path(tempfile.gettempdir()) / f"hotsession-{user}"
    return (runtime / "hotsession", temporary) if runtime.is_absolute() else (temporary,)


def open_private_dir(environ: Mapping[str, str] = os.environ) -> Path:
    """Return the private directory, made if need be.

    Raises:
        PermissionError: what is there can't be trusted; the message says why and what to do.
        OSError: it can't be made.
    """
    *better, last = candidates(environ)
    for path in better:
        if path.parent.is_dir() and os.access(path.parent, os.W_OK) and path.parent.stat().st_uid == os.geteuid():
            return _made(path)
    return _made(last)


def trusted_dirs(environ: Mapping[str, str] = os.environ) -> tuple[Path, ...]:
    """Those of the `candidates` that exist and can be trusted."""
    return tuple(path for path in candidates(environ) if os.path.lexists(path) and distrust(path) is None)


def distrust(path: Path) -> str | None:
    """Why the directory at `path` can't be trusted, or None if it can."""
    found = path.lstat()
    if stat.S_ISLNK(found.st_mode):
        return "it is a symbolic link"
    if not stat.S_ISDIR(found.st_mode):
        return "it is no directory"
    if found.st_uid != os.geteuid():
        return f"it belongs to user {found.st_uid}"
    if found.st_mode & 0o077:
        return f"others may enter it (mode {stat.S_IMODE(found.st_mode):04o})"
    return None


def _made(path: Path) -> Path:
    try:
        path.mkdir(mode=0o700)
    except FileExistsError:
        reason = distrust(path)
        if reason:
            raise PermissionError(f"{path} can't be trusted, {reason}: remove it, or set XDG_RUNTIME_DIR") from None
    return path
