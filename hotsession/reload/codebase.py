"""The own modules of one generation, and how the new ones come to be beside the old ones.

A `Codebase` is loaded in a transaction: what it makes is kept in `loaded` and shows to nobody else (see views.py)
until `commit` puts it into `sys.modules` and onto the packages. Nothing has to be undone when a load fails.
"""

from __future__ import annotations

import importlib.util
import sys
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from importlib.machinery import EXTENSION_SUFFIXES, ModuleSpec, SourceFileLoader
from types import ModuleType
from typing import Any

from hotsession.ownership import Ownership
from hotsession.registry import registry
from hotsession.reload.graph import ImportGraph
from hotsession.reload.loader import OwnFinder, OwnLoader, import_foreign, loader_of, real_modules
from hotsession.reload.locks import ModuleLocks
from hotsession.reload.source import SourceCache

_LOADING = registry.loading_variable


class Abandoned(BaseException):
    """The load was overtaken by newer changes: its modules end at their next import, through any `except Exception`."""


class Codebase:
    """The own modules of one generation.

    Args:
        ownership: tells own files from others.
        sources: compiled code, shared by all generations.
        graph: imports among the modules that are carried over.
        carried: the modules that are carried over from the generation before, by name.
        replaced: the modules of that generation which are replaced, by name; None for one that is only planned.
    """

    def __init__(
        self,
        ownership: Ownership,
        sources: SourceCache,
        graph: ImportGraph | None = None,
        carried: dict[str, ModuleType] | None = None,
        replaced: dict[str, ModuleType | None] | None = None,
        loaders: dict[str, OwnLoader] | None = None,
    ) -> None:
        self.ownership = ownership
        self.sources = sources
        self.graph = graph or ImportGraph()
        self.modules: dict[str, ModuleType] = dict(carried or {})
        self.replaced: dict[str, ModuleType | None] = dict(replaced or {})
        self.loaded: dict[str, ModuleType] = {}
        self.loaders = {name: loader for name, loader in (loaders or {}).items() if name in self.modules}
        self._hides = loaders is not None
        self.committed = False
        self.abandoned = False
        self.on_package: Callable[[ModuleType], None] = lambda package: None
        self.context: Callable[[], AbstractContextManager[None]] | None = None
        self._bound: dict[tuple[str, str], ModuleType] = {}
        self._foreign: set[str] = set()
        self._locks = ModuleLocks()
        self._running: dict[int, list[str]] = {}

    def __repr__(self) -> str:
        return f"<Codebase of {len(self.modules)} carried and {len(self.loaded)} loaded modules>"

    def abandon(self) -> None:
        """Let the load end at its next import: newer changes came, or it is over."""
        self.abandoned = True

    def roll_back(self) -> None:
        """Take away what the first load showed; what later ones made nobody has seen."""
        for name in tuple(self.loaded):
            self._take_away(name)

    # finding

    def find(self, name: str, path: Any = None) -> ModuleSpec | None:
        """The spec of `name`, an own module's with a loader of ours; None where there is none.

        Args:
            name: the dotted name.
            path: the ``__path__`` of its package; None for a top-level module.
        """
        for finder in tuple(sys.meta_path):
            find_spec = getattr(finder, "find_spec", None)
            spec = None if find_spec is None or isinstance(finder, OwnFinder) else find_spec(name, path, None)
            if spec is not None:
                return self._claim(spec)
        return None

    def _claim(self, spec: ModuleSpec) -> ModuleSpec:
        if type(spec.loader) is SourceFileLoader and spec.origin and self.ownership.owns(spec.origin):
            spec.loader = OwnLoader(spec.name, spec.origin, self)
            spec.cached = None
        return spec

    def _is_own(self, spec: ModuleSpec) -> bool:
        return type(spec.loader) is OwnLoader or self._is_own_namespace(spec)

    def _is_own_namespace(self, spec: ModuleSpec) -> bool:
        if spec.origin is not None or spec.submodule_search_locations is None:
            return False
        return any(self.ownership.owns(path) for path in spec.submodule_search_locations)

    # resolving

    def resolve(self, name: str) -> ModuleType:
        """The module `name` as this codebase sees it, loaded if need be; other people's as the process has them.

        Raises:
            ModuleNotFoundError: there is none.
            Abandoned: the load was overtaken.
        """
        module = self.loaded.get(name) or self.modules.get(name)
        if module is None or name in self._locks:
            module = self._resolve_slowly(name)
        parent, _, child = name.rpartition(".")
        if parent and (parent, child) not in self._bound:
            self._bind_first(parent, child, module)
        return module

    def _resolve_slowly(self, name: str) -> ModuleType:
        if self.abandoned and self.importing is not None:
            raise Abandoned
        if self._is_foreign(name):
            return import_foreign(name)
        parent = name.rpartition(".")[0]
        package = self.resolve(parent) if parent else None
        if package is not None and not hasattr(package, "__path__"):
            message = f"No module named {name!r}; {parent!r} is not a package"
            raise ModuleNotFoundError(message, name=name)
        with self._locks.hold(name):
            module = self.loaded.get(name) or self.modules.get(name)
            return self._load(name, package) if module is None else module

    def leaves_alone(self, name: str) -> bool:
        """Whether `name` is, or lies in, a top-level package that the process has and that is not own."""
        top = name.partition(".")[0]
        if top not in self._foreign and self._is_foreign(top):
            self._foreign.add(top)
        return top in self._foreign

    def _is_foreign(self, name: str) -> bool:
        """Whether the process has `name` already and it is not own: what own modules import most, answered at once."""
        known = real_modules().get(name)
        if known is None or name in self.replaced:
            return False
        if name == "__main__":
            return True
        file = getattr(known, "__file__", None)
        spec = getattr(known, "__spec__", None)
        return not (file and self.ownership.owns(file)) and not (spec is not None and self._is_own_namespace(spec))

    def _load(self, name: str, package: ModuleType | None) -> ModuleType:
        spec = self.find(name, None if package is None else package.__path__)
        if spec is None:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        if not self._is_own(spec):
            module = import_foreign(name)
            # Compiled code, and source that an import hook loads its own way: a change of it needs a new process.
            if spec.origin and spec.origin.endswith((".py", *EXTENSION_SUFFIXES)) and self.ownership.owns(spec.origin):
                self.graph.extensions[name] = spec.origin
            return module
        module = importlib.util.module_from_spec(spec)
        self._show(name, module)
        if hasattr(module, "__path__"):
            self.on_package(module)
        try:
            if type(spec.loader) is OwnLoader:
                spec.loader.exec_module(module)
            else:
                self.adopt(module)
        except BaseException:
            self._take_away(name)
            raise
        return self.loaded.get(name, module)

    def _show(self, name: str, module: ModuleType) -> None:
        """Show a module to the load; in the first load to all, as no old code is there, and as C code looks there."""
        self.loaded[name] = module
        if not self._hides:
            real_modules()[name] = module

    def _take_away(self, name: str) -> None:
        module = self.loaded.pop(name, None)
        if not self._hides and module is not None and real_modules().get(name) is module:
            del real_modules()[name]

    def adopt(self, module: ModuleType) -> None:
        """Make `module`, which is being loaded, part of this codebase: the finder brings late ones here as well."""
        name, path = module.__name__, getattr(module, "__file__", None) or ""
        self.graph.files[name] = path
        if path and (real := self.sources.real(path)) != path:
            self.graph.real_files[name] = real
        if hasattr(module, "__path__"):
            self.graph.folders[name] = tuple(module.__path__)
        if (loader := loader_of(module.__dict__)) is not None:
            self.loaders[name] = loader  # noted here, as a module may put another object in its place
        if self.committed:
            self.modules[name] = module

    def forget(self, module: ModuleType) -> None:
        """Take back what `adopt` did: the module's code raised."""
        self.graph.files.pop(module.__name__, None)
        self.graph.real_files.pop(module.__name__, None)
        self.graph.folders.pop(module.__name__, None)
        self.loaders.pop(module.__name__, None)
        if self.modules.get(module.__name__) is module:
            del self.modules[module.__name__]

    def makes(self, name: str, module: object) -> bool:
        """Whether `module` under `name` belongs to this load, and so shows to nobody else."""
        loader = loader_of(getattr(module, "__dict__", None))
        return name in self.loaded or name in self.replaced or (loader is not None and loader.home is self)

    def run(self, module: ModuleType, body: Callable[[], None]) -> None:
        """Run `body`, which executes `module`, as what is imported from while it lasts."""
        stack = self._running.setdefault(threading.get_ident(), [])
        stack.append(module.__name__)
        spec: Any = module.__spec__
        spec._initializing = True  # what makes an import cycle's error speak of a partially initialized module
        try:
            with self._as_part_of_the_load():
                body()
        finally:
            spec._initializing = False
            stack.pop()
            if not stack:
                self._running.pop(threading.get_ident(), None)

    def _as_part_of_the_load(self) -> AbstractContextManager[None]:
        """The context of the load, for modules imported in threads that new code started: they don't inherit it."""
        transaction = _LOADING.get()
        if self.context is None or (transaction is not None and transaction.codebase is self):
            return nullcontext()
        return self.context()

    @property
    def importing(self) -> str | None:
        """The module that the calling thread is executing just now, if any."""
        stack = self._running.get(threading.get_ident())
        return stack[-1] if stack else None

    # submodules as attributes of their packages

    def _bind_first(self, parent: str, child: str, module: ModuleType) -> None:
        """Bind a submodule to its package the first time it is imported in this load, as the import system does."""
        package = self.loaded.get(parent) or self.modules.get(parent)
        if self.committed or package is None or f"{parent}.{child}" in self._locks:
            return
        if parent in self.loaded:
            self._bound[parent, child] = module
            package.__dict__.setdefault(child, module) if child in self.modules else setattr(package, child, module)
        elif f"{parent}.{child}" in self.loaded:
            self.bind(package, child, module)

    def bind(self, package: ModuleType, child: str, module: ModuleType) -> None:
        """Bind `module` to `package`, which old code looks at too, from the commit on."""
        self._bound[package.__name__, child] = module
        self.on_package(package)

    def is_child(self, package: ModuleType, name: str, value: object) -> bool:
        """Whether `value` is the module that this load made for the submodule `name` of a package carried over."""
        full = f"{package.__name__}.{name}"
        return package.__name__ not in self.loaded and full in self.loaded and self.loaded[full] is value

    def child(self, package: ModuleType, name: str, value: ModuleType | None) -> ModuleType | None:
        """What code of this codebase should see as attribute `name` of `package`, where the process has `value`."""
        full = f"{package.__dict__['__name__']}.{name}"
        if self.committed:
            serving = real_modules().get(full)
            return self.modules.get(full, value) if value is serving else value
        if value is None or self.replaced.get(full) is value:
            return self.loaded.get(full)
        return value

    # the end of the load

    def misses(self, old: Codebase) -> bool:
        """Whether code of `old` has loaded modules since this load began, which it should have replaced or kept."""
        return any(name not in self.modules and name not in self.replaced for name in list(old.modules))

    def commit(self) -> tuple[str, ...]:
        """Put the new modules in place of the old ones, in one go, and return the names that are gone.

        To be called when the views are closed.
        """
        real = real_modules()
        gone = tuple(name for name in self.replaced if name not in self.loaded)
        for name in gone:
            old = self.replaced[name]
            if old is not None and real.get(name) is old:
                del real[name]
                _unbind(real, name, old)
        real.update(self.loaded)
        for (parent, child), module in self._bound.items():
            if parent in self.modules:
                setattr(self.modules[parent], child, module)
        self.modules.update(self.loaded)
        self._bind_carried()
        for loader in self.loaders.values():
            loader.home = self
        self.committed, self.context = True, None
        self.loaded, self.replaced, self._bound = {}, {}, {}
        return gone

    def take_home(self, gone: Codebase) -> None:
        """Be there for the modules of an older generation that a newer one, which is gone now, had carried on."""
        for loader in self.loaders.values():
            if loader.home is gone:
                loader.home = self

    def _bind_carried(self) -> None:
        """Give packages that were loaded anew the submodules that were not, unless they use the name themselves."""
        for name, module in self.modules.items():
            parent, _, child = name.rpartition(".")
            if parent in self.loaded and name not in self.loaded:
                self.loaded[parent].__dict__.setdefault(child, module)


def _unbind(real: dict[str, ModuleType], name: str, old: ModuleType) -> None:
    parent, _, child = name.rpartition(".")
    package = real.get(parent)
    if package is not None and package.__dict__.get(child) is old:
        delattr(package, child)
