"""What the import system holds of us: the loader of one own module, and the finder that brings own modules to it."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterable, Mapping
from importlib.machinery import ModuleSpec, SourceFileLoader
from types import CodeType, ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hotsession.reload.codebase import Codebase

# The import system's own function, also when imports.py has put ours in its place.
import_foreign: Callable[..., ModuleType] = getattr(importlib.import_module, "__wrapped__", importlib.import_module)


class OwnLoader(SourceFileLoader):
    """Loads one own module from its source as it is now.

    Args:
        name: the module's name.
        path: its source file.
        home: the newest codebase that the module is part of; its late imports are answered from there.
    """

    def __init__(self, name: str, path: str, home: Codebase) -> None:
        super().__init__(name, path)
        self.home = home
        self.seen: set[object] = set()  # imports of this module that are in the graph already

    def get_code(self, fullname: str) -> CodeType:
        """Compile the source as it is now; ``.pyc`` files are neither read nor written."""
        return self.home.sources.code(self.path)

    def exec_module(self, module: ModuleType) -> None:
        """Run the module's code, known to its codebase as the one that imports what is imported meanwhile."""
        self.home.adopt(module)
        try:
            self.home.run(module, lambda: exec(self.get_code(module.__name__), module.__dict__))  # noqa: S102
        except BaseException:
            self.home.forget(module)
            raise


def loader_of(namespace: Mapping[str, Any] | None) -> OwnLoader | None:
    """The loader of the own module whose globals these are, or None for everybody else's."""
    spec = namespace.get("__spec__") if namespace else None
    loader = getattr(spec, "loader", None)
    return loader if type(loader) is OwnLoader else None


class OwnFinder:
    """Stands first in `sys.meta_path`: own modules that the import system itself is asked for are loaded our way.

    Args:
        codebase: says which codebase such a module belongs to; None when none is in place.
        on_find: is told the name of each own module that is found.
    """

    def __init__(self, codebase: Callable[[], Codebase | None], on_find: Callable[[str], None]) -> None:
        self._codebase = codebase
        self._on_find = on_find

    def find_spec(self, name: str, path: Iterable[str] | None = None, target: object = None) -> ModuleSpec | None:
        """The spec of an own module; None for everybody else's, which the finders behind this one look for."""
        codebase = self._codebase()
        spec = None if codebase is None else codebase.find(name, path)
        if spec is None or type(spec.loader) is not OwnLoader:
            return None
        self._on_find(name)
        return spec


def real_modules() -> dict[str, ModuleType]:
    """`sys.modules` as the interpreter has it, also while a view covers it."""
    return getattr(sys.modules, "real", sys.modules)
