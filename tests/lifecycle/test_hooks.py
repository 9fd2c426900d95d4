"""Hooks belong to the code that registered them: new code takes the place of old."""

from __future__ import annotations

import sys
from types import ModuleType

import pytest

from hotsession.lifecycle.hooks import Hook
from hotsession.lifecycle.limits import Limits
from hotsession.lifecycle.record import new_record
from hotsession.lifecycle.session import Session

pytestmark = pytest.mark.anyio

CODE = """
@hook
def suspend(session):
    said.append(({number}, session.id))
"""


def run(module: ModuleType, hook: Hook, said: list[tuple[int, str]], number: int) -> None:
    """Run a module that registers a hook."""
    vars(module).update(hook=hook, said=said)
    exec(CODE.format(number=number), vars(module))  # noqa: S102


@pytest.fixture
def session() -> Session:
    """Any session."""
    return Session(new_record("id", "manager", "key", {}, 0, Limits()), reused=False)


async def test_a_module_that_is_run_again_has_one_hook(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    """As ``importlib.reload`` does it, in the same module object."""
    hook, said, module = Hook("on_pause"), [], ModuleType("app_of_hooks")  # type: ignore[var-annotated]
    monkeypatch.setitem(sys.modules, "app_of_hooks", module)
    run(module, hook, said, 1)
    run(module, hook, said, 2)
    await hook.call(session)
    assert said == [(2, "id")]


async def test_hooks_of_old_code_go_with_it(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another module object is in its place; while it is only being loaded, the old hook counts."""
    hook, said = Hook("on_pause"), []  # type: ignore[var-annotated]
    old, new = ModuleType("app_of_hooks"), ModuleType("app_of_hooks")
    monkeypatch.setitem(sys.modules, "app_of_hooks", old)
    run(old, hook, said, 1)
    other = Hook("on_pause")
    run(new, other, said, 2)
    await other.call(session)
    assert (said, bool(other)) == ([], False)
    monkeypatch.setitem(sys.modules, "app_of_hooks", new)
    await other.call(session)
    await hook.call(session)
    assert (said, bool(hook)) == ([(2, "id")], False)


async def test_lambdas_are_not_taken_for_each_other(session: Session) -> None:
    """They have one name, and both are called."""
    hook, said = Hook("on_pause"), []
    hook(lambda session: said.append(1))
    hook(lambda session: said.append(2))
    await hook.tell(session)
    assert said == [1, 2]
