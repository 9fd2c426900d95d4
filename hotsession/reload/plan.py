"""What a change means: which modules are replaced, in what order they are loaded, or why the process must restart.

Pure: values in, a frozen value out. It reads no file and imports nothing of the user's.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.machinery import EXTENSION_SUFFIXES
from typing import Literal

from hotsession.events import Change
from hotsession.reload.graph import ImportGraph

Scope = Literal["changed", "all"]


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be done about some changes.

    Args:
        changed: the modules whose own source changed, or that wait for a module which appeared.
        modules: all modules to be replaced: those, what imports them, and the target.
        removed: those of `modules` whose source is gone.
        restart: why this can't be done in place; None when it can.
    """

    changed: tuple[str, ...] = ()
    modules: frozenset[str] = frozenset()
    removed: frozenset[str] = frozenset()
    restart: str | None = None

    def __bool__(self) -> bool:
        return bool(self.modules or self.restart)


def make_plan(
    graph: ImportGraph,
    target: str,
    changes: Iterable[Change],
    *,
    scope: Scope = "changed",
    search_path: Iterable[str] = (),
    also: Iterable[str] = (),
) -> Plan:
    """Decide what `changes` mean for the modules in `graph`.

    Args:
        graph: the own modules of the generation that serves.
        target: name of the module that holds the app; it is replaced whenever anything is.
        changes: the files that changed.
        scope: ``"changed"`` for the changed modules and what imports them, ``"all"`` for every own module.
        search_path: the directories that modules are found in, to name files which are new.
        also: modules that have to be replaced in any case.

    Returns:
        The plan; false when the changes mean nothing to the app.
    """
    changes = sorted(set(changes))
    restart = _restart(graph, changes)
    if restart is not None:
        return Plan(restart=restart)
    by_file = _by_file(graph)
    changed: dict[str, None] = dict.fromkeys(also)
    everything = scope == "all"
    touched = bool(changed)
    for change in changes:
        names = _touched(graph, by_file, change, tuple(search_path))
        touched = touched or bool(names)
        if not change.path.endswith((".py", *EXTENSION_SUFFIXES)):
            everything = touched = True
        changed.update(dict.fromkeys(names))
    if not touched:
        return Plan()
    modules = set(graph.files) if everything else graph.dependents(changed) & {*graph.files, *changed}
    gone = [name for change in changes if change.kind == "deleted" for name in by_file.get(change.path, ())]
    return Plan(tuple(changed), frozenset({*modules, target}), frozenset(modules.intersection(gone)))


def load_order(graph: ImportGraph, plan: Plan, target: str) -> tuple[str, ...]:
    """The planned modules in the order in which to ask for them: the target first, then what only functions import."""
    rest = (name for name in graph.files if name in plan.modules and name not in plan.removed and name != target)
    return (target, *rest)


def _by_file(graph: ImportGraph) -> dict[str, list[str]]:
    """The modules by their files. Some apps load a file twice, as ``models`` and as ``app.models``."""
    found: dict[str, list[str]] = {}
    for name, path in (*graph.files.items(), *graph.real_files.items()):
        found.setdefault(path, []).append(name)
    found.pop("", None)
    return found


def _restart(graph: ImportGraph, changes: Iterable[Change]) -> str | None:
    extensions = {os.path.realpath(path): name for name, path in graph.extensions.items()}
    for change in changes:
        if change.path in extensions and change.path.endswith(".py"):
            return f"{extensions[change.path]} is loaded by an import hook, which only a new process asks again"
        if change.path in extensions:
            return f"{extensions[change.path]} is a compiled extension, which a process loads only once"
    return None


def _touched(
    graph: ImportGraph, by_file: dict[str, list[str]], change: Change, search_path: tuple[str, ...]
) -> list[str]:
    """The modules that one change concerns: the file's own, those that missed it, the package it appeared in."""
    if change.path in by_file:
        return by_file[change.path]
    if not change.path.endswith(".py"):
        return []
    names = set(_names(change.path, search_path))
    waiting = [importer for importer, missed in list(graph.missed.items()) if missed & names]
    shadowed = [name for name in names if name in graph.files]
    folder = os.path.dirname(change.path)
    packages = [name for name, folders in graph.folders.items() if folder in folders] if not names & {*shadowed} else []
    return [*waiting, *shadowed, *packages]


def _names(path: str, search_path: Iterable[str]) -> Iterable[str]:
    """The dotted names that a module in the file at `path` can go by."""
    stem = path.removesuffix(".py").removesuffix(os.sep + "__init__")
    for directory in search_path:
        prefix = directory.rstrip(os.sep) + os.sep
        if stem.startswith(prefix):
            yield stem.removeprefix(prefix).replace(os.sep, ".")
