"""A project of a few modules whose reloads are simulated: its code runs in new module objects under the same names."""

from __future__ import annotations

import gc
import linecache
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from hotsession.registry import Transaction, registry
from hotsession.reload.adapters import begin_all, dependents_of


class Load:
    """A load that was begun; it ends with `commit` or `rollback`."""

    def __init__(self, project: Project, names: frozenset[str]) -> None:
        self.project = project
        self.old = {name: sys.modules.get(name) for name in names}
        self.transaction = Transaction()
        self.open = True
        self.suspension = begin_all(names)

    @contextmanager
    def inside(self) -> Iterator[None]:
        """Run the block as code of the load."""
        with registry.loading(self.transaction):
            yield

    def run(self, sources: dict[str, str]) -> SimpleNamespace:
        """Run the new code; old modules are back in `sys.modules` when this returns."""
        for name in self.old:
            sys.modules.pop(name, None)
        try:
            with self.inside():
                self.new = {name: self.project.execute(name, source) for name, source in sources.items()}
        finally:
            for name, module in self.old.items():
                sys.modules.pop(name, None)
                if module is not None:
                    sys.modules[name] = module
        return SimpleNamespace(**self.new)

    def commit(self) -> None:
        """Put the new modules in place."""
        for name in self.old:
            sys.modules.pop(name, None)
        sys.modules.update(self.new)
        self.open = False
        self.suspension.commit()
        self.transaction.close()
        self.old = {}
        self.new = {}

    def rollback(self) -> None:
        """Leave the old modules in place."""
        if self.open:
            self.open = False
            self.suspension.rollback()
            self.transaction.close()


class Project:
    """Modules with the sources they were last given."""

    def __init__(self) -> None:
        self.names: set[str] = set()
        self.loads: list[Load] = []
        self.engines: list[Any] = []

    def execute(self, name: str, source: str) -> ModuleType:
        """Run `source` as module `name`."""
        module: Any = ModuleType(name)
        module.__file__ = f"/project/{name}.py"
        self.names.add(name)
        sys.modules[name] = module
        try:
            exec(compile(textwrap.dedent(source), module.__file__, "exec", dont_inherit=True), module.__dict__)  # noqa: S102
        except BaseException:
            del sys.modules[name]
            raise
        if hasattr(module, "engine"):
            self.engines.append(module.engine)
        return module  # type: ignore[no-any-return]

    def start(self, **sources: str) -> SimpleNamespace:
        """Import the modules for the first time."""
        return SimpleNamespace(**{name: self.execute(name, source) for name, source in sources.items()})

    def begin(self, *names: str) -> Load:
        """Begin a load that replaces the modules `names`."""
        self.loads.append(Load(self, frozenset(names)))
        return self.loads[-1]

    def reload(self, **sources: str) -> SimpleNamespace:
        """Replace modules, from begin to commit."""
        load = self.begin(*sources)
        new = load.run(sources)
        load.commit()
        self.loads.clear()
        return new

    def plan(self, *names: str) -> frozenset[str]:
        """All modules that must be replaced when `names` are, as far as libraries know."""
        gc.collect()  # models of other tests go by the same names
        modules = frozenset(names)
        while further := dependents_of(modules) & self.names - modules:
            modules |= further
        return modules


@pytest.fixture
def project() -> Iterator[Project]:
    """A project that is not there any more after the test."""
    found = Project()
    yield found
    for load in found.loads:
        load.rollback()
    for engine in found.engines:
        engine.dispose()
    for name in found.names:
        sys.modules.pop(name, None)
    linecache.clearcache()
