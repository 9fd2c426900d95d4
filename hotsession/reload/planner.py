"""Plans for this process: what changed files mean with the modules, sources and libraries that it has right now."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import replace

from hotsession.events import Change
from hotsession.reload.adapters import dependents_of
from hotsession.reload.graph import ImportGraph
from hotsession.reload.plan import Plan, Scope, make_plan
from hotsession.reload.source import SourceCache


class Planner:
    """Brings what the pure `make_plan` needs, and asks libraries what has to be replaced together.

    Args:
        target: name of the module that holds the app.
        sources: tells what was read of a file.
        search_path: returns the directories that modules are found in.
        scope: which modules a change replaces.
    """

    def __init__(
        self, target: str, sources: SourceCache, search_path: Callable[[], Iterable[str]], *, scope: Scope = "changed"
    ) -> None:
        self._target = target
        self._sources = sources
        self._search_path = search_path
        self._scope = scope

    def __repr__(self) -> str:
        return f"<Planner for {self._target}>"

    def plan(self, graph: ImportGraph, changes: frozenset[Change], *, again: bool = False) -> Plan:
        """What to do about `changes`.

        Args:
            graph: the own modules of the generation that serves.
            changes: the files that changed.
            again: an attempt failed before: the target is loaded in any case.
        """
        also = frozenset({self._target} if again else ())
        plan = self._make(graph, changes, also)
        together = plan.modules
        while together and (more := (dependents_of(together) & graph.files.keys()) - together):
            together |= more
            plan = self._make(graph, changes, also | together)
            together |= plan.modules
        return plan

    def concerns(self, graph: ImportGraph, changes: frozenset[Change]) -> bool:
        """Whether `changes` mean anything to the app."""
        return bool(changes and self._make(graph, changes, frozenset()))

    def news(self, changes: frozenset[Change]) -> frozenset[Change]:
        """What of `changes` was not read already; a file that was deleted and is there again was modified."""
        return frozenset(
            Change(change.path, "modified") if change.kind == "deleted" and os.path.exists(change.path) else change
            for change in changes
            if not self._sources.is_current(change.path)
        )

    def _make(self, graph: ImportGraph, changes: frozenset[Change], also: frozenset[str]) -> Plan:
        directories = tuple(self._search_path())
        return make_plan(
            graph,
            self._target,
            # Files and modules may be reached by other names than where they really lie.
            changes | {replace(change, path=os.path.realpath(change.path)) for change in changes},
            scope=self._scope,
            search_path={*directories, *map(os.path.realpath, directories)},
            also=also,
        )
