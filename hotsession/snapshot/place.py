"""The directory in which the snapshot of a dev server lies: found or made, checked, and removed when nobody needs it.

In shared memory where there is room, else in the user's cache. There each dev server has a directory of its own, named
for its process, so that the next worker finds it and a later dev server does not. It knows nothing about what is in it.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import logging
import os
import re
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from hotsession.private_dir import distrust
from hotsession.snapshot.janitor import OWNER, REMOVED, remove
from hotsession.surroundings.processes import boot, pid_namespace, process_started
from hotsession.surroundings.reloaders import DevServer

SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - what is made in it is checked before it is trusted
_MOUNTS = Path("/proc/self/mounts")
_LEAST_TOTAL = 256 * 2**20  # bytes; Docker gives 64 MB, which a few thousand sessions would fill
_LEAST_FREE = 64 * 2**20
_STRANGERS_KEEP = 24 * 3600.0  # seconds that a place is left alone of which can't be told whose it is
_TRIES = 5
_NAME = re.compile(r"(\d+)-(\w+)-([0-9a-f]{12})$")

logger = logging.getLogger("hotsession")


class PlaceUnusable(Exception):
    """There is no directory that a snapshot can be kept in; the message says why and what to do."""


@dataclass(frozen=True)
class Place:
    """A directory of mode 0700 that is this user's.

    Args:
        directory: where it is.
        lasting: whether it outlasts the dev server.
        notes: what people should be told, in lines for the log.
        hold: a file descriptor by which others see that the place is in use.
    """

    directory: Path
    lasting: bool
    notes: tuple[str, ...] = ()
    hold: int = -1

    def close(self) -> None:
        """Let go of the directory."""
        if self.hold >= 0:
            os.close(self.hold)


def open_place(server: DevServer, lasting: Path | None, environ: Mapping[str, str] = os.environ) -> Place:
    """Find or make the place of a dev server, and remove what dead ones left.

    Args:
        server: whose it is.
        lasting: the directory that people asked for, which outlasts it.
        environ: where the user's cache is.

    Raises:
        PlaceUnusable: there is none.
    """
    remove_dead(environ)
    if lasting is not None:
        return Place(_lasting(lasting), lasting=True)
    name, bases = place_name(server), bases_of(environ)
    for base in bases:  # where the worker before this one found room, whatever room there is now
        if _is_trusted(base) and _is_trusted(base / name):
            return _held(base / name)
    notes: list[str] = []
    for base in bases:
        if base.parent == SHARED_MEMORY and not has_room(SHARED_MEMORY):
            continue
        try:
            return _held(_new(base, name, server), tuple(notes))
        except OSError as error:
            notes.append(f"The snapshot can't lie in {base}, {_in_words(error)}")
    raise PlaceUnusable(
        f"{'. '.join(notes)}. Set HOTSESSION_STATE to a directory of yours, or HOTSESSION=off to do without it"
    )


def remove_place_of(server: DevServer, environ: Mapping[str, str] = os.environ) -> None:
    """Remove what belongs to a dev server, at its end."""
    for base in filter(_is_trusted, bases_of(environ)):
        remove(base / place_name(server))


def remove_dead(environ: Mapping[str, str] = os.environ) -> None:
    """Remove what dev servers left that have ended, wherever places can be."""
    for base in filter(_is_trusted, bases_of(environ)):
        for path in _places_in(base):
            if path.name.startswith(REMOVED) or _is_dead(path):
                logger.debug("Removing %s, which a dev server left that has ended", path)
                remove(path)


def bases_of(environ: Mapping[str, str]) -> tuple[Path, ...]:
    """The directories in which places can be, best first."""
    cache = Path(environ.get("XDG_CACHE_HOME") or "")
    if not cache.is_absolute():
        cache = Path(environ.get("HOME") or Path("~").expanduser()) / ".cache"
    found = (
        SHARED_MEMORY / f"hotsession-{os.geteuid()}",
        cache / "hotsession",
        Path(tempfile.gettempdir()) / f"hotsession-snapshot-{os.geteuid()}",
    )
    return tuple(each for each in found if each.is_absolute())


def has_room(path: Path) -> bool:
    """Whether a tmpfs is mounted at `path` that is large enough and not full."""
    try:
        mounts = [line.split() for line in _MOUNTS.read_text().splitlines()]
        found = os.statvfs(path)
    except OSError:
        return False
    kinds = [kind for _, where, kind, *_ in mounts if where == str(path)]
    return (
        kinds[-1:] == ["tmpfs"]
        and found.f_blocks * found.f_frsize >= _LEAST_TOTAL
        and found.f_bavail * found.f_frsize >= _LEAST_FREE
    )


def place_name(server: DevServer) -> str:
    """What the directory of a dev server is called: its process, and where that number counts."""
    return f"{server.pid}-{server.started}-{_here()}"


def _here() -> str:
    """What tells this run of this machine or container from others that share a directory with it."""
    where = f"{boot() or os.uname().nodename} {pid_namespace()}"
    return hashlib.blake2s(where.encode(), digest_size=6).hexdigest()


def _new(base: Path, name: str, server: DevServer) -> Path:
    base.parent.mkdir(parents=True, exist_ok=True)
    for _ in range(_TRIES):
        _private(base)
        try:
            _private(base / name)
            break
        except FileNotFoundError:  # removed in between by somebody who found it empty
            continue
    words = {**asdict(server), "directory": os.getcwd()}  # noqa: PTH109 - as people see it
    try:
        (base / name / OWNER).write_text(json.dumps(words))
    except OSError:  # there is no room, so the next worker must not come here
        remove(base / name)
        raise
    return base / name


def _private(path: Path, *, ours: bool = True) -> None:
    try:
        path.mkdir(mode=0o700)
    except FileExistsError:
        reason = distrust(path)
        if reason:  # what the user named may be full of files of the user's
            raise PermissionError(f"{reason}: remove {path} if nobody needs it" if ours else reason) from None


def _lasting(path: Path) -> Path:
    path = path.resolve()  # the user named it, so it may be a link
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_dir() and path.stat().st_uid == os.geteuid() and not any(path.iterdir()):
            path.chmod(0o700)  # just made for this, by somebody who is open to the world
        _private(path, ours=False)
    except OSError as error:
        raise PlaceUnusable(
            f"HOTSESSION_STATE={path} can't be used, {_in_words(error)}. Name one that is yours alone (chmod 700), or "
            "one that is not there yet"
        ) from error
    if not os.access(path, os.W_OK | os.X_OK):
        raise PlaceUnusable(f"HOTSESSION_STATE={path} can't be used, you may not write there. Name another directory")
    return path


def _held(directory: Path, notes: tuple[str, ...] = ()) -> Place:
    hold = os.open(directory, os.O_RDONLY)
    fcntl.flock(hold, fcntl.LOCK_SH)
    return Place(directory, lasting=False, notes=notes, hold=hold)


def _places_in(base: Path) -> Iterator[Path]:
    for path in base.iterdir():
        if path.name.startswith(REMOVED) or _NAME.match(path.name):
            yield path


def _is_dead(path: Path) -> bool:
    """Whether the dev server of a place has ended; one of another container or machine counts as long as it is used."""
    found = _NAME.match(path.name)
    if found is not None and found[3] == _here():
        return process_started(int(found[1])) != found[2]
    try:
        newest = max(each.stat().st_mtime for each in (path, *path.iterdir()))
    except OSError:  # somebody else removes it
        return False
    return time.time() - newest > _STRANGERS_KEEP and not any(map(_is_locked, (path, path / OWNER)))


def _is_locked(path: Path) -> bool:
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return False


def _is_trusted(path: Path) -> bool:
    return os.path.lexists(path) and distrust(path) is None


def _in_words(error: OSError) -> str:
    return error.strerror or str(error)
