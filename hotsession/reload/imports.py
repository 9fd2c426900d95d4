"""The import statement, generation by generation: every importer gets the modules of the generation it belongs to.

Three kinds of code import. Code of a load (told by its context) gets what that load makes. Code of a generation that
was replaced (told by the globals of the importing frame) gets the modules of its own generation, at once.
Everybody else gets what the import system gives. On the way it is noted which own module imports which.

This replaces `builtins.__import__` and `importlib.import_module`, the two documented ways in, and puts a finder first
in `sys.meta_path` for what comes in another way. `pickle`, whose C code looks into the interpreter's own dict after
importing, gets the modules that serve.
"""

from __future__ import annotations

import builtins
import functools
import importlib
import importlib.util
import sys
from collections.abc import Callable, Mapping, Sequence
from types import FrameType, ModuleType
from typing import Any

from hotsession.reload.codebase import Codebase
from hotsession.reload.loader import OwnFinder, OwnLoader, import_foreign, loader_of
from hotsession.reload.views import codebase_in_load


class Importer:
    """Answers imports for the whole process. There is one, made by `install`.

    Attributes:
        current: the codebase that serves; None before the first commit.
    """

    def __init__(self) -> None:
        self.current: Codebase | None = None
        self._import = builtins.__import__
        self._finder = OwnFinder(lambda: codebase_in_load() or self.current, self._found_late)

    def install(self) -> None:
        """Start answering imports. Doing it twice changes nothing."""
        if self._finder in sys.meta_path:
            return
        self._import = builtins.__import__
        builtins.__import__ = self.import_statement
        importlib.import_module = self._import_module_function()
        sys.meta_path.insert(0, self._finder)

    def uninstall(self) -> None:
        """Leave imports to the import system again."""
        if self._finder in sys.meta_path:
            builtins.__import__ = self._import
            importlib.import_module = import_foreign
            sys.meta_path.remove(self._finder)
        self.current = None

    # the two ways in

    def import_statement(
        self,
        name: str,
        globals: Mapping[str, object] | None = None,
        locals: Mapping[str, object] | None = None,
        fromlist: Sequence[str] | None = (),
        level: int = 0,
    ) -> ModuleType:
        """Answer an import statement, by the rules of `builtins.__import__`."""
        fromlist = tuple(fromlist or ())  # C code hands over a list: breakpoint() imports pdb so
        loading = codebase_in_load()
        loader = loader_of(globals)
        if loading is None and (loader is None or loader.home is self.current):
            if loader is None or (name, fromlist, level) in loader.seen:
                return self._import(name, globals, locals, fromlist, level)
            return self._import_and_note(loader, name, globals, locals, fromlist, level)
        codebase = loading or loader.home  # type: ignore[union-attr]
        importer = loader.name if loader is not None else codebase.importing
        absolute = _absolute(name, globals, level)
        if loading is not None and loading.leaves_alone(absolute):
            return self._import(name, globals, locals, fromlist or (), level)
        try:
            module = self._resolve(codebase, absolute)
            if fromlist:
                self._resolve_submodules(codebase, module, fromlist)
        except BaseException as error:
            _note_missed(codebase, importer, absolute, fromlist or (), error)
            raise
        if importer is not None:
            _note(codebase, importer, absolute, fromlist, whole=level == 0)
        if loader is None:
            _note_foreign(codebase, globals, absolute, fromlist)
        if not fromlist:
            module = self._resolve(codebase, _first(name, absolute, level))
        return module if loading is codebase else self._as_of(codebase, module)

    def _import_module_function(self) -> Callable[..., ModuleType]:
        @functools.wraps(import_foreign)
        def import_module(name: str, package: str | None = None) -> ModuleType:
            return self.import_module(name, package, sys._getframe(1).f_globals)

        return import_module

    def import_module(self, name: str, package: str | None, globals: Mapping[str, object]) -> ModuleType:
        """Import a module by name, by the rules of `importlib.import_module`, for code whose globals these are."""
        loading = codebase_in_load()
        loader = loader_of(globals)
        if loading is None and loader is None:
            return import_foreign(name, package)
        codebase = loading or loader.home  # type: ignore[union-attr]
        importer = loader.name if loader is not None else codebase.importing
        absolute = importlib.util.resolve_name(name, package) if name.startswith(".") else name
        try:
            module = self._resolve(codebase, absolute)
        except BaseException as error:
            _note_missed(codebase, importer, absolute, (), error)
            raise
        if importer is not None:
            _note(codebase, importer, absolute, ())
        if loader is None:
            _note_foreign(codebase, globals, absolute, ())
        return module if loading is codebase else self._as_of(codebase, module)

    # answers

    def _resolve(self, codebase: Codebase, name: str) -> ModuleType:
        if codebase.committed:
            return codebase.modules.get(name) or import_foreign(name)
        return codebase.resolve(name)

    def _resolve_submodules(self, codebase: Codebase, package: ModuleType, names: Sequence[str]) -> None:
        """Load the submodules that ``from package import names`` asks for."""
        if not hasattr(package, "__path__"):
            return
        for name in names:
            if name == "*":
                self._resolve_submodules(codebase, package, [n for n in getattr(package, "__all__", ()) if n != "*"])
            elif not hasattr(package, name):
                full = f"{package.__name__}.{name}"
                try:
                    self._resolve(codebase, full)
                except ModuleNotFoundError as error:
                    if error.name != full:
                        raise
                    if full in codebase.replaced:  # the interpreter's own fallback would find the old module
                        raise ImportError(
                            f"cannot import name {name!r} from {package.__name__!r} ({package.__file__})",
                            name=package.__name__,
                        ) from None

    def _as_of(self, codebase: Codebase, module: ModuleType) -> ModuleType:
        """`module` itself, or a package as the generation of `codebase` knows it, where that is not the one in place.

        That is an older one, or one that is being loaded and asks in a thread which does not have its context.
        """
        if codebase is not self.current and module.__name__ in codebase.graph.folders:
            return _PackageAsOf(module, codebase)
        return module

    # what is noted for the next plan

    def _import_and_note(
        self,
        loader: OwnLoader,
        name: str,
        globals: Mapping[str, object] | None,
        locals: Mapping[str, object] | None,
        fromlist: Sequence[str],
        level: int,
    ) -> ModuleType:
        """Import for code of the generation that serves, the first time it asks for this."""
        absolute = _absolute(name, globals, level)
        try:
            module = self._import(name, globals, locals, fromlist, level)
        except BaseException as error:
            _note_missed(loader.home, loader.name, absolute, fromlist, error)
            raise
        _note(loader.home, loader.name, absolute, fromlist, whole=level == 0)
        loader.seen.add((name, fromlist, level))
        return module

    def _found_late(self, name: str) -> None:
        """An own module is about to be loaded for code that may not be own: the nearest own frame imported it."""
        codebase = codebase_in_load() or self.current
        if codebase is None:
            return
        importer = codebase.importing
        frame: FrameType | None = sys._getframe(1)
        while frame is not None and _only_passes_on(frame.f_globals):
            frame = frame.f_back
        if frame is not None and loader_of(frame.f_globals) is None:
            codebase.graph.foreign.add(name)
        while importer is None and frame is not None:
            loader = loader_of(frame.f_globals)
            importer = None if loader is None else loader.name
            frame = frame.f_back
        if importer is not None:
            codebase.graph.record(importer, name, late=importer != codebase.importing)


class _PackageAsOf(ModuleType):
    """A package with the submodules that an older generation knows."""

    def __init__(self, package: ModuleType, codebase: Codebase) -> None:
        super().__init__(package.__name__, package.__doc__)
        self.__dict__.update(__path__=package.__path__, __spec__=package.__spec__, _package=package, _codebase=codebase)

    def __getattr__(self, name: str) -> Any:
        codebase, full = self.__dict__["_codebase"], f"{self.__name__}.{name}"
        submodule = codebase.loaded.get(full) or codebase.modules.get(full)
        value = getattr(self.__dict__["_package"], name, submodule)
        if submodule is not None and isinstance(value, ModuleType):
            return submodule
        return getattr(self.__dict__["_package"], name)


def _only_passes_on(globals: Mapping[str, object] | None) -> bool:
    """Whether code imports for another: the import system's and ours, `pkgutil`, `pickle` and what Python has else."""
    name = str((globals or {}).get("__name__", ""))
    return name.partition(".")[0] in sys.stdlib_module_names or name.startswith("hotsession.")


def _absolute(name: str, globals: Mapping[str, object] | None, level: int) -> str:
    """The full name of what an import statement asks for."""
    if not level:
        return name
    namespace: Mapping[str, Any] = globals or {}
    package = namespace.get("__package__")
    if package is None:
        spec = namespace.get("__spec__")
        package = spec.parent if spec is not None else namespace.get("__name__", "").rpartition(".")[0]
    return importlib.util.resolve_name("." * level + name, package)


def _first(name: str, absolute: str, level: int) -> str:
    """The full name of what ``import name`` binds: the first part of what was written."""
    if level == 0:
        return name.partition(".")[0]
    rest = len(name) - len(name.partition(".")[0])
    return absolute[: len(absolute) - rest]


def _note(codebase: Codebase, importer: str, name: str, fromlist: Sequence[str], *, whole: bool = False) -> None:
    """Note which own modules an import by `importer` reached.

    Args:
        codebase: whose graph.
        importer: the module that imports.
        name: the full name of the module asked for.
        fromlist: what of it.
        whole: the packages above it are named too, as ``import a.b`` does.
    """
    graph = codebase.graph
    late = importer != codebase.importing
    names = [name, *(f"{name}.{each}" for each in fromlist)]
    if whole and not fromlist:
        names += [name[:i] for i, character in enumerate(name) if character == "."]
    for each in names:
        if each in graph.files or each in graph.extensions:
            graph.record(importer, each, late=late)


def _note_foreign(codebase: Codebase, globals: Mapping[str, object] | None, name: str, fromlist: Sequence[str]) -> None:
    """Note own modules that the code with these globals, which is not own, imported for itself."""
    if not _only_passes_on(globals):
        names = (name, *(f"{name}.{each}" for each in fromlist))
        codebase.graph.foreign.update(each for each in names if each in codebase.graph.files)


def _note_missed(
    codebase: Codebase, importer: str | None, name: str, fromlist: Sequence[str], error: BaseException
) -> None:
    """Note what an import by `importer` did not get; it may catch the error and go without."""
    if importer is not None:
        names = {name, *(f"{name}.{each}" for each in fromlist)}
        if isinstance(error, ModuleNotFoundError) and error.name:
            names.add(error.name)
        codebase.graph.missed[importer] |= names
