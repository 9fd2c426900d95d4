"""Sees to it that cached bytecode hides no save, under reloaders that start a new process for every save.

Python takes a ``.pyc`` for up to date when it notes the size of the source and the second of its last change. Two saves
of one size within one second, as "fix a digit" makes them, look alike: uvicorn, granian and hypercorn then serve the
first for ever. So the ``.pyc`` of an own module that was written before two seconds had passed since its source was
(some file systems keep time in steps of two) is made void: before it is read, if the module is imported after us, and
once more for all modules when the app is up. The price is that what was saved just now is compiled by the next
process as well.

That is too late for what is imported before us, the target first of all: when saves come quickly, a process is ended
after it wrote the ``.pyc`` of the target and before it got to us. But there is another kind of ``.pyc``, which notes a
hash of the source, and which Python replaces by its like when the source has changed (PEP 552). A void file is of that
kind, so whatever was made void once is compared by content from then on, in every process; and those that are loaded
when `begin` is called are all made void.

It knows nothing of sessions, nor which reloader runs. Where our own host loads the code there is nothing to do: it
neither reads nor writes ``.pyc`` files.
"""

from __future__ import annotations

import logging
import marshal
import os
import stat
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from importlib.util import MAGIC_NUMBER
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from hotsession.errors import ConfigurationError
from hotsession.snapshot.decision import decide
from hotsession.surroundings.reloaders import RUN

if TYPE_CHECKING:
    from hotsession.ownership import Ownership

_UNSURE_SECONDS = 2.0
_HEADER_SIZE = 16
_HASHED = 0b01  # a bit of the flags in the header: the file notes a hash of the source
_COMPARED = 0b10  # and another: which is to be compared
_VOID = MAGIC_NUMBER + bytes([_HASHED | _COMPARED, 0, 0, 0]) + bytes(8)  # the hash of no source, and no code

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
    """Drop the bytecode of the modules that are loaded, and from now on what could be stale before it is read.

    To be called early, and only where another program's reloader starts this process anew: the module that is just
    importing us has its ``.pyc`` just written.

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
        bytecode.drop()


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
        """Make the file void if it could be stale, and return whether it was."""
        try:
            unsure = is_unsure(self.source.stat().st_mtime, self.cached.stat().st_mtime)
        except OSError:  # there is none, or the source has gone
            return False
        return unsure and self.drop()

    def drop(self) -> bool:
        """Make the file void, and return whether it was: one that notes a hash stays."""
        try:
            if _is_hashed(self._header()):
                return False
            if sys.dont_write_bytecode:  # nobody would put another in its place
                self.cached.unlink()
            else:
                self._replace(_VOID)
        except FileNotFoundError:
            return False
        except OSError as error:  # a directory of somebody else's, where we write no bytecode either
            _log.debug("%s may be stale one day but can't be replaced: %s", self.cached, error)
            return False
        _log.debug("Dropped %s: from now on the content of the source decides, not its time", self.cached)
        return True

    def hid_a_save(self) -> bool:
        """Whether the file is older than its source, passes for newer with Python, and holds other code."""
        try:
            source, cached = self.source.stat(), self.cached.stat()
            if cached.st_mtime >= source.st_mtime or _is_hashed(self._header()):
                return False
            data = self.cached.read_bytes()
            if data[8:_HEADER_SIZE] != _noted(source):
                return False
            code = compile(self.source.read_bytes(), self.source, "exec", dont_inherit=True)
            return bool(marshal.loads(data[_HEADER_SIZE:]) != code)  # noqa: S302 - Python has run it already
        except (OSError, SyntaxError, ValueError, EOFError, TypeError):  # gone, broken or half written: not what ran
            return False

    def _header(self) -> bytes:
        with self.cached.open("rb") as file:
            return file.read(_HEADER_SIZE)

    def _replace(self, data: bytes) -> None:
        """Put a new file in place of the cached one, at once: another process may be reading it."""
        beside = self.cached.with_name(f"{self.cached.name}.{os.getpid()}")
        mode = self.cached.stat().st_mode
        try:
            with open(os.open(beside, os.O_CREAT | os.O_EXCL | os.O_WRONLY, stat.S_IMODE(mode)), "wb") as file:  # noqa: PTH123
                file.write(data)
            beside.replace(self.cached)
        except BaseException:
            beside.unlink(missing_ok=True)
            raise


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


def _is_hashed(header: bytes) -> bool:
    return len(header) == _HEADER_SIZE and bool(header[4] & _HASHED)


def _noted(source: os.stat_result) -> bytes:
    """How a ``.pyc`` notes which source it was made of: the second of its last change and its size."""
    return b"".join((int(each) & 0xFFFFFFFF).to_bytes(4, "little") for each in (source.st_mtime, source.st_size))


def _own_roots() -> list[Path]:
    """The working directory and what `sys.path` names, without the standard library."""
    import sysconfig  # as above

    libraries = [Path(sysconfig.get_path(key)).resolve() for key in ("stdlib", "platstdlib")]
    places = [Path(place).resolve() for place in (str(Path.cwd()), *sys.path) if Path(place).is_dir()]
    return [place for place in places if not any(place.is_relative_to(library) for library in libraries)]
