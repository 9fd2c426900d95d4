"""How `sys.modules` and package attributes look while a load is under way: new to new code, unchanged to all other.

Who is looking is told by the context variable of the load's transaction, which the loading thread, the new lifespan
and the tasks and threads that copy their context carry. C code looks into the interpreter's own dict, which
holds the old modules until the swap.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any

from hotsession.registry import registry
from hotsession.reload.codebase import Codebase

_LOADING = registry.loading_variable
_MISSING = object()


def codebase_in_load() -> Codebase | None:
    """The modules that the running code is part of loading, or None."""
    transaction = _LOADING.get()
    return None if transaction is None else transaction.codebase


class ModulesView(dict[str, ModuleType]):
    """`sys.modules` while a load is under way.

    Code of the load sees the modules it makes in place of those it replaces, and its writes stay among them. All
    other code reads and writes the real dict. It stays a window on the real dict when the load is over.

    Args:
        real: the dict that the interpreter uses.
    """

    def __init__(self, real: dict[str, ModuleType]) -> None:
        super().__init__()
        self.real = real

    def __getitem__(self, name: str) -> ModuleType:
        value = self._look_up(name)
        if value is _MISSING:
            raise KeyError(name)
        return value  # type: ignore[no-any-return]

    def _look_up(self, name: str) -> Any:
        codebase = codebase_in_load()
        if codebase is not None:
            if name in codebase.loaded:
                return codebase.loaded[name]
            if name in codebase.replaced:
                return _MISSING
        return self.real.get(name, _MISSING)

    def __setitem__(self, name: str, module: ModuleType) -> None:
        codebase = codebase_in_load()
        if codebase is not None and codebase.makes(name, module):
            codebase.loaded[name] = module
        else:
            self.real[name] = module

    def __delitem__(self, name: str) -> None:
        codebase = codebase_in_load()
        if codebase is not None and (name in codebase.loaded or name in codebase.replaced):
            del codebase.loaded[name]
        else:
            del self.real[name]

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and self._look_up(name) is not _MISSING

    def __iter__(self) -> Iterator[str]:
        return iter(self.copy())

    def __len__(self) -> int:
        return len(self.copy())

    def __repr__(self) -> str:
        return f"<view of sys.modules with {len(self)} modules>"

    def __reduce__(self) -> Any:
        raise TypeError("cannot pickle sys.modules")

    def copy(self) -> dict[str, ModuleType]:
        """A plain dict of what the caller sees."""
        codebase = codebase_in_load()
        if codebase is None:
            return self.real.copy()
        seen = {name: module for name, module in self.real.copy().items() if name not in codebase.replaced}
        return {**seen, **codebase.loaded}

    def get(self, name: str, default: Any = None) -> Any:
        """The module `name` as the caller sees it, or `default`."""
        value = self._look_up(name)
        return default if value is _MISSING else value

    def setdefault(self, name: str, default: Any = None) -> Any:
        """The module `name` as the caller sees it; `default` is put there if there is none."""
        if name not in self:
            self[name] = default
        return self[name]

    def pop(self, name: str, *default: Any) -> Any:
        """Take the module `name` out and return it, or `default`."""
        value = self._look_up(name)
        if value is not _MISSING:
            del self[name]
            return value
        if default:
            return default[0]
        raise KeyError(name)

    def update(self, *others: Any, **named: Any) -> None:
        """Put several modules in."""
        for name, module in dict(*others, **named).items():
            self[name] = module

    def keys(self) -> Any:
        """The names that the caller sees."""
        return self.copy().keys()

    def values(self) -> Any:
        """The modules that the caller sees."""
        return self.copy().values()

    def items(self) -> Any:
        """Names and modules that the caller sees."""
        return self.copy().items()


def _codebase_of_viewer() -> Codebase | None:
    """The modules that the running code should see where they differ from what serves now, or None."""
    codebase = codebase_in_load()
    if codebase is None and (scope := registry.running_scope) is not None:
        codebase = getattr(scope, "codebase", None)
    return codebase


class _PackageView(ModuleType):
    """A package of several generations: each finds its own submodules on it.

    It covers a package while a load is under way and as long as an older generation still has work.
    """

    def __getattribute__(self, name: str) -> Any:
        value = None
        try:
            value = super().__getattribute__(name)
        except AttributeError:
            if (codebase := _codebase_of_viewer()) is None or (module := codebase.child(self, name, None)) is None:
                raise
            return module
        if not isinstance(value, ModuleType) or (codebase := _codebase_of_viewer()) is None:
            return value
        module = codebase.child(self, name, value)
        if module is None:
            raise AttributeError(f"module {self.__dict__['__name__']!r} has no attribute {name!r}")
        return module

    def __setattr__(self, name: str, value: Any) -> None:
        codebase = codebase_in_load()
        if codebase is not None and codebase.is_child(self, name, value):
            codebase.bind(self, name, value)
        else:
            super().__setattr__(name, value)


class Views:
    """The views that are up: on `sys.modules` during a load, on packages also while older generations have work."""

    def __init__(self) -> None:
        self._packages: dict[ModuleType, tuple[type[ModuleType], type[ModuleType]]] = {}  # its own class, the view
        self._modules: dict[str, ModuleType] | None = None

    @property
    def is_open(self) -> bool:
        """Whether a load is under way."""
        return self._modules is not None

    def open(self) -> None:
        """Show `sys.modules` through a view."""
        self._modules = sys.modules
        sys.modules = ModulesView(self._modules)

    def close(self) -> None:
        """Put the plain `sys.modules` back."""
        if self._modules is not None:
            sys.modules = self._modules
            self._modules = None

    def cover(self, package: ModuleType) -> None:
        """Show the submodules of a package to each generation as its own."""
        kind = type(package)
        if not issubclass(kind, _PackageView):
            view = _PackageView if kind is ModuleType else type(kind.__name__, (_PackageView, kind), {})
            self._packages[package] = kind, view
            package.__class__ = view

    def uncover(self) -> None:
        """Make all packages plain modules again: nothing but the newest generation looks at them."""
        while self._packages:
            package, (kind, view) = self._packages.popitem()
            if type(package) is view:  # else it has given itself a class, as packages with lazy attributes do
                package.__class__ = kind
