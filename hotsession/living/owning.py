"""Which classes are the app's own: those of the modules that a reload replaces, or of files below where it runs."""

from __future__ import annotations

import functools
import sys
from pathlib import Path

from hotsession.ownership import Ownership
from hotsession.registry import registry


def default_is_own(path: str) -> bool:
    """Whether a file is below the working directory, and nobody installed it there."""
    try:
        return _ownership(str(Path.cwd())).owns(path)
    except FileNotFoundError:  # the working directory is gone
        return False


def is_own_module(name: str) -> bool:
    """Whether a module is the app's own, as far as that can be told while it is being loaded, and without a host."""
    codebase = getattr(registry.transaction, "codebase", None)
    if codebase is not None and (name in codebase.loaded or name in codebase.modules):
        return True
    path = getattr(sys.modules.get(name), "__file__", None)
    return isinstance(path, str) and default_is_own(path)


def is_carried_over(name: str) -> bool:
    """Whether a load is under way that leaves a module of the app as it is."""
    codebase = getattr(registry.transaction, "codebase", None)
    return codebase is not None and name in codebase.modules and name not in codebase.loaded


@functools.lru_cache(maxsize=1)
def _ownership(directory: str) -> Ownership:
    return Ownership([directory])
