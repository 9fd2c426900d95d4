"""Imports run one way. The layers are drawn here, from the ground up; a module imports from its own or a lower one."""

from __future__ import annotations

import ast
import functools
import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent / "hotsession"

LAYERS = [
    # what knows nothing of ours, or errors and events alone
    "errors events registry hooks loops logs fingerprint injection ownership private_dir surroundings living",
    # the rules of a session's life, the contract of storages, the storages
    "lifecycle storages",
    # what a process restart carries over
    "snapshot bytecode",
    # what users keep and build, and what a generation holds
    "kept managers container handles services background",
    # what speaks ASGI to apps
    "asgi",
    # new code beside the old
    "reload",
    # the host, and what it is told to serve
    "app_object target asgi.host asgi.hot_app asgi.error_page asgi.reception",
    # what a process needs around a server
    "run.channel run.crashes run.keyboard run.listener run.options run.process run.terminal",
    "run.server",
    # what users import
    "hotsession testing",
    # the worker, the parent and the command line
    "run cli session_commands __main__",
]

# Beyond the layers: who must not know whom, though it may be lower.
FORBIDDEN = [
    ("registry", "errors"),
    ("registry", "events"),
    ("injection", "registry"),
    ("storages", "lifecycle.manager"),
    ("storages", "lifecycle.ledger"),
    ("lifecycle", "storages.memory"),
    ("asgi.middleware", "storages.memory"),
    ("asgi.visit", "storages"),
    ("container", "kept"),
    ("handles", "container"),
    ("reload", "asgi"),
    ("reload", "kept"),
    ("background", "kept"),
    ("background", "container"),
    ("run.parent", "asgi"),
    ("run.parent", "reload"),
]

# Each library has one place that knows it.
USERS = {
    "watchfiles": {"reload.watch"},
    "inotify_simple": {"reload.doorbell"},
    "lmdb": {"snapshot.environment", "snapshot.probe"},
    "fastapi": {"asgi.fastapi_routes"},
}

LAYER_OF = {name: number for number, names in enumerate(LAYERS) for name in names.split()}


def modules() -> dict[str, Path]:
    """The modules of hotsession by name below it; the package itself is `hotsession`."""
    found = {}
    for path in ROOT.rglob("*.py"):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts) or "hotsession"] = path
    return found


MODULES = modules()


def imports(path: Path) -> Iterator[str]:
    """Every module that a file imports, at its top, in functions and for type checkers; ours without `hotsession.`."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            ours = name.removeprefix("hotsession.")
            if not name.startswith("hotsession"):
                yield name
            elif ours in MODULES:
                yield ours
            else:  # a name in a module, or in the package itself
                yield ours.rpartition(".")[0] or "hotsession"


def is_in(name: str, place: str) -> bool:
    """Whether the module is the place or inside of it."""
    return name == place or name.startswith(f"{place}.")


def layer(name: str) -> int | None:
    """The number of the layer of a module, by the longest name that is drawn."""
    places = [place for place in LAYER_OF if is_in(name, place)]
    return LAYER_OF[max(places, key=len)] if places else None


@functools.cache
def all_imports() -> list[tuple[str, str]]:
    """Who imports what."""
    return sorted({(name, each) for name, path in MODULES.items() for each in imports(path)})


def ours() -> list[tuple[str, str]]:
    """Who of us imports whom of us."""
    return [(name, each) for name, each in all_imports() if each in MODULES]


def test_every_module_has_its_layer() -> None:
    """A new module is drawn above before it is used."""
    assert [name for name in MODULES if layer(name) is None] == []


def test_no_module_imports_upward() -> None:
    """What is lower knows nothing of what is higher. The package itself may: it is where users import from."""
    lower = {name: layer(name) or 0 for name in MODULES}
    assert [(name, each) for name, each in ours() if lower[each] > lower[name]] == []


@pytest.mark.parametrize(("who", "whom"), FORBIDDEN)
def test_who_must_not_know_whom(who: str, whom: str) -> None:
    """Some strangers are no question of height."""
    assert any(is_in(name, who) for name in MODULES)
    assert any(is_in(name, whom) for name in MODULES)
    assert [(name, each) for name, each in ours() if is_in(name, who) and is_in(each, whom)] == []


@pytest.mark.parametrize("library", USERS)
def test_a_library_has_one_user(library: str) -> None:
    """What watches files is imported in one place."""
    assert {name for name, each in all_imports() if each.partition(".")[0] == library} <= USERS[library]


def test_no_two_modules_import_each_other() -> None:
    """There is no circle of imports when modules are loaded, in whatever layer."""
    top = {name: set(top_level(path)) for name, path in MODULES.items()}
    circles = [(one, other) for one, other in itertools.combinations(top, 2) if one in top[other] and other in top[one]]
    assert circles == []


def top_level(path: Path) -> Iterator[str]:
    """The modules of ours that are imported when a file is run."""
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("hotsession"):
            for alias in node.names:
                ours = f"{node.module}.{alias.name}".removeprefix("hotsession.")
                yield ours if ours in MODULES else ours.rpartition(".")[0] or "hotsession"
