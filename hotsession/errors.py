"""The errors that hotsession raises.

::

    HotsessionError
    ├── SessionError                 carries id, key, status, age and the live ids of the key
    │   ├── SessionNotFound
    │   │   └── SessionExpired
    │   ├── SessionConflict          two writers of one version
    │   ├── SessionMismatch          an explicit id that belongs to another key
    │   ├── InvalidTransition        a state that cannot go where it was sent
    │   ├── HookFailed               a hook of the app's that raised; the session is as it was
    │   └── MigrationFailed          an object in it or in a kept value that could not follow its class
    ├── StorageError
    │   ├── StorageUnavailable
    │   ├── DataNotStorable          names the path to a value that the codec can't write, and its type
    │   └── DataNotReadable          names what it can't read, and where it stands
    ├── ServiceError                 a service that cannot be built as asked
    │   ├── MissingArgument          names class, argument and what is known
    │   └── ServiceConflict          other configuration for a live key
    ├── ConfigurationError           options or calls that contradict each other
    ├── TargetError                  what `hotsession run` was given leads to no ASGI app
    ├── ControlError                 a running dev server that can't be found or refuses
    └── ReloadError                  a load that failed; what ran before goes on

Every message says what happened, with the value, and what to do next; the data are attributes.
"""

from __future__ import annotations

from typing import Any


class HotsessionError(Exception):
    """The root of all errors of hotsession."""


class SessionError(HotsessionError):
    """Something about one session.

    Args:
        message: what happened and what to do.
        id: the session's public id, if one is known.
        key: whom it belongs to.
        status: the state it is in.
        age: seconds since it was made.
        alternatives: ids of live sessions of the same key.
    """

    code = "session_error"

    def __init__(
        self,
        message: str,
        *,
        id: str | None = None,
        key: str | tuple[str, ...] | None = None,
        status: str | None = None,
        age: float | None = None,
        alternatives: tuple[str, ...] = (),
    ) -> None:
        super().__init__(message)
        self.id = id
        self.key = key
        self.status = status
        self.age = age
        self.alternatives = alternatives


class SessionNotFound(SessionError):
    """No session goes by this id."""

    code = "session_not_found"


class SessionExpired(SessionNotFound):
    """The session was there and its time is over."""

    code = "session_expired"


class SessionConflict(SessionError):
    """Somebody else wrote the session since it was read.

    Args:
        message: what happened and what to do.
        keys: of the data, those that both changed, if that is known.
        about: as for `SessionError`.
    """

    code = "session_conflict"

    def __init__(self, message: str, *, keys: tuple[str, ...] = (), **about: Any) -> None:
        super().__init__(message, **about)
        self.keys = keys


class SessionMismatch(SessionError):
    """The session belongs to another key."""

    code = "session_mismatch"


class InvalidTransition(SessionError):
    """The session cannot go from its state to the one asked for."""

    code = "invalid_transition"


class HookFailed(SessionError):
    """A hook of the app's raised, which is the error's cause; the session is as it was.

    Args:
        message: what happened and what to do.
        hook: the name of the function.
        about: as for `SessionError`.
    """

    code = "hook_failed"

    def __init__(self, message: str, *, hook: str, **about: Any) -> None:
        super().__init__(message, **about)
        self.hook = hook


class MigrationFailed(SessionError):
    """The conversion of an object in a session or kept value raised, which is the error's cause; it is as it was.

    Args:
        message: what happened and what to do.
        path: where it stands: ``session["cart"]``, or below the name of a kept value.
        cls: the name of its class.
        step: the function or method that raised.
        name: of the kept value; None for a session.
        about: as for `SessionError`.
    """

    code = "migration_failed"

    def __init__(self, message: str, *, path: str, cls: str, step: str, name: str | None = None, **about: Any) -> None:
        super().__init__(message, **about)
        self.path = path
        self.cls = cls
        self.step = step
        self.name = name


class StorageError(HotsessionError):
    """A storage cannot do what was asked."""

    code = "storage_error"


class StorageUnavailable(StorageError):
    """The storage does not answer now; trying again may help."""

    code = "storage_unavailable"


class DataNotStorable(StorageError):
    """Something in the data has no form in which it could be stored and would come back.

    Args:
        message: what happened and what to do.
        path: where it stands, as one would write it: ``data["client"].pool``.
        type: its type, with the module.
    """

    code = "data_not_storable"

    def __init__(self, message: str, *, path: str, type: str) -> None:
        super().__init__(message)
        self.path = path
        self.type = type


class DataNotReadable(StorageError):
    """What was stored can't be read as it is configured now; it stays as it is.

    Args:
        message: what happened and what to do.
        path: where in the data it stands; None if none of it can be read.
        type: the name of the type that it was stored as, if one is known.
    """

    code = "data_not_readable"

    def __init__(self, message: str, *, path: str | None = None, type: str | None = None) -> None:
        super().__init__(message)
        self.path = path
        self.type = type


class ServiceError(HotsessionError):
    """A service cannot be built as asked."""


class MissingArgument(ServiceError):
    """A constructor argument that nothing known can fill."""


class ServiceConflict(ServiceError):
    """A live service of this key was built with other configuration."""


class ConfigurationError(HotsessionError):
    """Options or calls that contradict each other."""


class TargetError(HotsessionError):
    """What `hotsession run` was given leads to no ASGI app."""


class ControlError(HotsessionError):
    """A running dev server can't be found, does not answer, or refuses."""


class ReloadError(HotsessionError):
    """A load failed; what ran before goes on."""
