"""Save a file, keep the session: hot code reload for stateful ASGI apps."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from hotsession.background.asking import task
from hotsession.background.handle import TaskHandle
from hotsession.bytecode import begin_if_restarted
from hotsession.errors import (
    ConfigurationError,
    ControlError,
    DataNotReadable,
    DataNotStorable,
    HookFailed,
    HotsessionError,
    InvalidTransition,
    MigrationFailed,
    MissingArgument,
    ReloadError,
    ServiceConflict,
    ServiceError,
    SessionConflict,
    SessionError,
    SessionExpired,
    SessionMismatch,
    SessionNotFound,
    StorageError,
    StorageUnavailable,
    TargetError,
)
from hotsession.handles import ModuleHandle, module
from hotsession.kept import flush, keep, reset, sessions, storage
from hotsession.lifecycle.codec import Codec, JSONCodec, SignedPickleCodec
from hotsession.lifecycle.current import current_session
from hotsession.lifecycle.jobs import Job
from hotsession.lifecycle.manager import SessionManager
from hotsession.lifecycle.metrics import Metrics
from hotsession.lifecycle.session import Session
from hotsession.living import migrate, moved, renamed
from hotsession.services import get_service, service
from hotsession.storages.base import Storage
from hotsession.storages.memory import MemoryStorage

if TYPE_CHECKING:
    from hotsession import testing
    from hotsession.asgi.dependencies import provide
    from hotsession.asgi.hot_app import HotApp
    from hotsession.asgi.middleware import HotSessionMiddleware
    from hotsession.asgi.routes import session_routes
    from hotsession.asgi.standing import close_on_reload
    from hotsession.asgi.work import RELOADED
    from hotsession.lifecycle.data import SessionData
    from hotsession.storages.file import FileStorage
    from hotsession.storages.opening import open_storage
    from hotsession.storages.recovery import Artefacts
    from hotsession.storages.sqlite import SQLiteStorage

__all__ = [
    "RELOADED",
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
]

__version__ = "0.1.0"

# What needs Starlette, or a server and a watcher, is imported when it is first used.
_LATER = {
    "Artefacts": "hotsession.storages.recovery",
    "FileStorage": "hotsession.storages.file",
    "HotApp": "hotsession.asgi.hot_app",
    "HotSessionMiddleware": "hotsession.asgi.middleware",
    "RELOADED": "hotsession.asgi.work",
    "SQLiteStorage": "hotsession.storages.sqlite",
    "SessionData": "hotsession.lifecycle.data",
    "close_on_reload": "hotsession.asgi.standing",
    "open_storage": "hotsession.storages.opening",
    "provide": "hotsession.asgi.dependencies",
    "session_routes": "hotsession.asgi.routes",
    "testing": "hotsession.testing",
}

begin_if_restarted()  # now: the module that imports us has left bytecode that can hide its next save


def __getattr__(name: str) -> object:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = importlib.import_module(_LATER[name])
    return globals().setdefault(name, found if name == "testing" else getattr(found, name))


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
