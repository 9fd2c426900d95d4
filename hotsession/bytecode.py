"""Drops cached bytecode that could hide a save, under reloaders that start a new process for every save.

Python takes a ``.pyc`` for up to date when it notes the size of the source and the second of its last change. Two saves
of one size within one second, as "fix a digit" makes them, look alike: uvicorn, granian and hypercorn then serve the
first for ever. So the ``.pyc`` of an own module that was written before two seconds had passed since its source was
(some file systems keep time in steps of two) is removed: of what is loaded already when `begin` is called, of what is
imported later before it is read, and of all once more when the app is up. The price is that a module that was saved
just now is compiled by the next process as well.

It knows nothing of sessions, nor which reloader runs. Where our own host loads the code there is nothing to do: it
neither reads nor writes ``.pyc`` files.
"""

from __future__ import annotations

import logging
import marshal
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from hotsession.errors import ConfigurationError
from hotsession.reloaders import RUN
from hotsession.snapshot.decision import decide

if TYPE_CHECKING:
    from hotsession.ownership import Ownership

_UNSURE_SECONDS = 2.0
_HEADER_SIZE = 16
_HASHED = 0b01  # a bit of the flags in the header: the file is checked by a hash of the source, if at all (PEP 552)

_log = logging.getLogger("hotsession.bytecode")


def begin_if_restarted() -> None:
    """Call `begin` if another program's reloader starts this process anew. For the import of hotsession itself.

    Later is too late: an app that is mounted hears of nothing before its first request, and the next save, which finds
    the stale bytecode, may come before that.
    """
    try:
        decision = decide()
    except ConfigurationError:  # said where the snapshot is opened
        return
    if decision.on and decision.server is not None and decision.server.kind != RUN:
        begin()


def begin(roots: Iterable[str | Path] | None = None) -> None:
    """Drop what could be stale of the modules that are loaded, and from now on of each before it is imported.

    To be called early, and only where another program's reloader starts this process anew: the module that is just
    importing us has its ``.pyc`` just written. A second call looks at the loaded modules once more.

    Args:
        roots: the directories with the user's own code; the working directory and those that `sys.path` names, without
            the standard library, when left out.
    """
    if _finder() is None:
        from hotsession.ownership import Ownership  # not needed in production, which imports this module all the same

        place = sys.meta_path.index(PathFinder) if PathFinder in sys.meta_path else len(sys.meta_path)
        sys.meta_path.insert(place, BytecodeFinder(Ownership(_own_roots() if roots is None else roots)))
    for bytecode in _loaded():
        if bytecode.hid_a_save():
            _log.warning(
                "%s runs as it was before its last save, because Python took bytecode of a process before for newer. "
                "Save it once more",
                bytecode.source,
            )
        bytecode.drop_if_unsure()


def app_is_up() -> None:
    """Look at all loaded modules once more: some were imported in ways that no finder sees. Nothing without `begin`."""
    for bytecode in _loaded():
        bytecode.drop_if_unsure()


def is_unsure(source_changed: float, written: float) -> bool:
    """Whether a source could have changed again without a difference that its ``.pyc`` shows.

    Args:
        source_changed: when the source was changed last, in seconds since the epoch.
        written: when the ``.pyc`` was written, by the clock of the same file system.
    """
    return written < source_changed + _UNSURE_SECONDS


@dataclass(frozen=True)
class Bytecode:
    """The bytecode of a module that is cached, or could be."""

    source: Path
    cached: Path

    def drop_if_unsure(self) -> bool:
        """Remove the file if it could be stale, and return whether it was removed."""
        try:
            if not is_unsure(self.source.stat().st_mtime, self.cached.stat().st_mtime) or self._is_hashed():
                return False
            self.cached.unlink()
        except FileNotFoundError:
            return False
        except OSError as error:  # a directory of somebody else's, where we write no bytecode either
            _log.debug("%s may be stale but can't be removed: %s", self.cached, error)
            return False
        _log.debug("Removed %s: a save within the same second would not have been seen", self.cached)
        return True

    def hid_a_save(self) -> bool:
        """Whether the file is older than its source, passes for newer with Python, and holds other code."""
        try:
            source, cached = self.source.stat(), self.cached.stat()
            if cached.st_mtime >= source.st_mtime or self._is_hashed():
                return False
            data = self.cached.read_bytes()
            if data[8:_HEADER_SIZE] != _noted(source):
                return False
            code = compile(self.source.read_bytes(), self.source, "exec", dont_inherit=True)
            return bool(marshal.loads(data[_HEADER_SIZE:]) != code)  # noqa: S302 - Python has run it already
        except (OSError, SyntaxError, ValueError, EOFError, TypeError):  # gone, broken or half written: not what ran
            return False

    def _is_hashed(self) -> bool:
        with self.cached.open("rb") as file:
            header = file.read(_HEADER_SIZE)
        return len(header) == _HEADER_SIZE and bool(header[4] & _HASHED)


class BytecodeFinder:
    """Stands in front of `PathFinder` and finds what that one finds, after the bytecode was looked at.

    Args:
        ownership: tells which modules are the user's own.
    """

    def __init__(self, ownership: Ownership) -> None:
        self.ownership = ownership

    def __repr__(self) -> str:
        return f"<BytecodeFinder {', '.join(self.ownership.roots)}>"

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The spec of a module as `PathFinder` gives it."""
        spec = PathFinder.find_spec(name, path, target)
        bytecode = self.bytecode(spec)
        if bytecode is not None:
            bytecode.drop_if_unsure()
        return spec

    def bytecode(self, spec: object) -> Bytecode | None:
        """The bytecode of a module of the user's own that Python caches; None for all others."""
        if not isinstance(spec, ModuleSpec) or not isinstance(spec.loader, SourceFileLoader):
            return None  # what is built in, compiled, a namespace, from an archive, or made by hand
        if not spec.origin or not spec.cached or not self.ownership.owns(spec.origin):
            return None
        return Bytecode(Path(spec.origin), Path(spec.cached))


def _loaded() -> Iterator[Bytecode]:
    finder = _finder()
    if finder is not None:
        for module in list(sys.modules.values()):  # where anything may lie
            bytecode = finder.bytecode(module.__dict__.get("__spec__") if isinstance(module, ModuleType) else None)
            if bytecode is not None:
                yield bytecode


def _finder() -> BytecodeFinder | None:
    return next((finder for finder in sys.meta_path if isinstance(finder, BytecodeFinder)), None)


def _noted(source: os.stat_result) -> bytes:
    """How a ``.pyc`` notes which source it was made of: the second of its last change and its size."""
    return b"".join((int(each) & 0xFFFFFFFF).to_bytes(4, "little") for each in (source.st_mtime, source.st_size))


def _own_roots() -> list[Path]:
    """The working directory and what `sys.path` names, without the standard library."""
    import sysconfig  # as above

    libraries = [Path(sysconfig.get_path(key)).resolve() for key in ("stdlib", "platstdlib")]
    places = [Path(place).resolve() for place in (str(Path.cwd()), *sys.path) if Path(place).is_dir()]
    return [place for place in places if not any(place.is_relative_to(library) for library in libraries)]
