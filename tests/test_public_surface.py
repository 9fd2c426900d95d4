"""What users import: it is there, it is all of it, and importing it is cheap."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import hotsession

NAMES = {
    "Artefacts",
    "Codec",
    "ConfigurationError",
    "ControlError",
    "DataNotReadable",
    "DataNotStorable",
    "FileStorage",
    "HookFailed",
    "HotApp",
    "HotSessionMiddleware",
    "HotsessionError",
    "InvalidTransition",
    "JSONCodec",
    "Job",
    "MemoryStorage",
    "Metrics",
    "MigrationFailed",
    "MissingArgument",
    "ModuleHandle",
    "RELOADED",
    "ReloadError",
    "SQLiteStorage",
    "ServiceConflict",
    "ServiceError",
    "Session",
    "SessionConflict",
    "SessionData",
    "SessionError",
    "SessionExpired",
    "SessionManager",
    "SessionMismatch",
    "SessionNotFound",
    "SignedPickleCodec",
    "Storage",
    "StorageError",
    "StorageUnavailable",
    "TargetError",
    "TaskHandle",
    "close_on_reload",
    "current_session",
    "flush",
    "get_service",
    "keep",
    "migrate",
    "module",
    "moved",
    "open_storage",
    "provide",
    "renamed",
    "reset",
    "service",
    "session_routes",
    "sessions",
    "storage",
    "task",
    "testing",
}


def test_all_is_sorted_and_complete() -> None:
    """`__all__` is what we promise, in order and once."""
    assert hotsession.__all__ == sorted(NAMES, key=lambda name: (not name.isupper(), name))  # constants first
    assert set(hotsession.__all__) <= set(dir(hotsession))


@pytest.mark.parametrize("name", sorted(NAMES))
def test_each_name_can_be_imported(name: str) -> None:
    """Also those that are loaded when they are first used; each is documented."""
    assert getattr(hotsession, name).__doc__


def test_all_errors_of_the_tree_are_public() -> None:
    """Whoever catches one of our errors can import it."""
    errors = importlib.import_module("hotsession.errors")
    ours = {name for name, each in vars(errors).items() if isinstance(each, type) and issubclass(each, Exception)}
    assert ours <= NAMES


def test_an_unknown_name_is_an_attribute_error() -> None:
    """A typing error is told as in any module."""
    with pytest.raises(AttributeError, match="module 'hotsession' has no attribute 'sesions'"):
        _ = hotsession.sesions


def test_no_module_is_named_like_a_public_function() -> None:
    """Importing it would replace the function."""
    root = Path(hotsession.__file__).parent
    modules = {path.stem for path in root.iterdir() if path.suffix == ".py" or path.is_dir()}
    assert modules & NAMES == {"testing"}


def test_type_checkers_see_what_is_loaded_later() -> None:
    """Each name that `__getattr__` loads is also imported for type checkers, from the same module."""
    tree = ast.parse(Path(hotsession.__file__).read_text())
    [block] = [node for node in tree.body if isinstance(node, ast.If)]  # TYPE_CHECKING
    told = {
        alias.name: node.module if alias.name != "testing" else f"{node.module}.testing"
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert told == hotsession._LATER


@pytest.mark.e2e
def test_importing_hotsession_loads_no_server_and_no_watcher() -> None:
    """It costs production nothing: neither uvicorn, watchfiles nor Starlette come with it."""
    code = "import sys, hotsession; print(*{name.partition('.')[0] for name in sys.modules})"
    output = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert {"uvicorn", "watchfiles", "inotify_simple", "starlette", "fastapi", "cloudpickle"} & {
        *output.split()
    } == set()
