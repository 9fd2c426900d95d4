"""Who may see and do what with sessions over HTTP: the app says it, and whom it says nothing of is refused.

Knows no routes and no storage.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias
from urllib.parse import urlsplit

from starlette.requests import HTTPConnection

from hotsession.asgi.locality import is_local
from hotsession.asgi.session_json import Refusal
from hotsession.errors import ConfigurationError
from hotsession.lifecycle import wording
from hotsession.lifecycle.record import Key
from hotsession.lifecycle.session import Session
from hotsession.registry import registry
from hotsession.surroundings.reloaders import ReloaderUnknown, dev_server

logger = logging.getLogger("hotsession")

Action: TypeAlias = Literal["list", "get", "start", "pause", "resume", "end", "events", "metrics"]

Permission: TypeAlias = bool | Key | Collection[Key] | None
"""True: all of it. False or None: nothing. A key, or a list or set of keys: what belongs to these."""

Answer: TypeAlias = Permission | Awaitable[Permission]
Authorize: TypeAlias = (
    Callable[[HTTPConnection, Action], Answer] | Callable[[HTTPConnection, Action, Session | None], Answer]
)


@dataclass(frozen=True)
class Reach:
    """Which sessions a client may see.

    Args:
        keys: whose; None for whosever.
        judge: is asked about each of them; None where the keys say it all.
    """

    keys: frozenset[Key] | None
    judge: Callable[[Session], Awaitable[bool]] | None

    @property
    def is_everything(self) -> bool:
        """Whether nothing is to be looked at."""
        return self.keys is None and self.judge is None

    async def holds(self, session: Session) -> bool:
        """Whether the client may see this session."""
        if self.keys is not None and session.key not in self.keys:
            return False
        return self.judge is None or await self.judge(session)


class Gate:
    """Asks the app's function before anything is shown or done.

    Args:
        authorize: see `session_routes`; None lets in only the developer on this machine.

    Raises:
        ConfigurationError: it takes neither two nor three arguments.
    """

    def __init__(self, authorize: Authorize | None) -> None:
        self._authorize: Callable[..., Any] = developers_only if authorize is None else authorize
        self._is_default = authorize is None
        self._takes_session = _takes_session(self._authorize)

    def __repr__(self) -> str:
        return f"<Gate {self._authorize!r}>"

    async def admit(self, connection: HTTPConnection, action: Action) -> None:
        """Let a client ask for a thing that is about no one session.

        Raises:
            Refusal: it may not.
        """
        if await self._ask(connection, action, None) in (None, False):
            raise self._refusal(action)

    async def admit_to_all(self, connection: HTTPConnection, action: Action) -> None:
        """Let a client ask for what is about all sessions at once; who may see only some may not.

        Raises:
            Refusal: it may not.
        """
        if await self._ask(connection, action, None) is not True:
            raise self._refusal(action)

    async def admit_to(self, connection: HTTPConnection, action: Action, session: Session, *, manager: str) -> None:
        """Let a client do a thing with a session.

        Raises:
            Refusal: it may do no such thing.
            SessionNotFound: it may with others. So it is not told either that there is this one.
        """
        if _covers(await self._ask(connection, action, session), session):
            return
        if action != "start" and await self._ask(connection, action, None) not in (None, False):
            raise wording.not_found(session.id, manager)
        raise self._refusal(action)

    async def reach(self, connection: HTTPConnection, action: Action) -> Reach:
        """Which sessions a client may see.

        Raises:
            Refusal: it may not even ask.
        """
        answer = await self._ask(connection, action, None)
        if answer is None or answer is False:
            raise self._refusal(action)
        if answer is not True:
            return Reach(keys=answer, judge=None)
        if not self._takes_session:
            return Reach(keys=None, judge=None)

        async def judge(session: Session) -> bool:
            try:
                return _covers(await self._ask(connection, action, session), session)
            except Exception:
                logger.exception(
                    "%s failed for session %s, which is not shown", _name(self._authorize), wording.short(session.id)
                )
                return False

        return Reach(keys=None, judge=judge)

    async def _ask(
        self, connection: HTTPConnection, action: Action, session: Session | None
    ) -> bool | frozenset[Key] | None:
        arguments = (connection, action, session) if self._takes_session else (connection, action)
        answer = self._authorize(*arguments)
        if inspect.isawaitable(answer):
            answer = await answer
        return _checked(answer, self._authorize)

    def _refusal(self, action: Action) -> Refusal:
        if self._is_default:
            return Refusal(
                403,
                "not_allowed",
                "the app does not say who may see its sessions: session_routes(manager, authorize=...) takes a "
                "function (connection, action, session) that returns True, False, or the key whose sessions they are. "
                "Without it only clients on this machine are answered, and only while a reloader runs the app",
            )
        what = {"list": "list sessions", "events": "hear of sessions", "metrics": "see the figures of all sessions"}
        return Refusal(403, "not_allowed", f"this client may not {what.get(action, f'{action} this session')}")


def developers_only(connection: HTTPConnection, action: Action) -> bool:
    """Lets in who develops the app: on the machine that it runs on, while a reloader or `hotsession run` runs it."""
    return is_local(connection.scope) and _is_developed()


def check_origin(connection: HTTPConnection, origins: Collection[str]) -> None:
    """Refuse what a page of another site lets its visitor's browser ask; other programs send no ``Origin``.

    Args:
        connection: the request.
        origins: further ones that may ask, such as ``https://app.example.com``.

    Raises:
        Refusal: it is such a page.
    """
    origin = connection.headers.get("origin")
    if origin is None:
        if connection.headers.get("sec-fetch-site", "none") in ("none", "same-origin"):
            return
    elif origin in origins or _host(origin) == connection.headers.get("host", "").lower() != "":
        return
    raise Refusal(
        403,
        "origin_not_allowed",
        f"a page of {origin or 'another site'} may not change sessions of {connection.headers.get('host')}: name it in "
        f"session_routes(origins=[...]) if it may, and let a proxy in between pass on the Host that the browser sends",
    )


def _host(origin: str) -> str:
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return ""


def _is_developed() -> bool:
    """Whether a host of ours or a reloader runs this process; looked up once."""
    if registry.scope is not None:
        return True
    known: dict[str, bool] = registry.object("is developed", dict)
    if "answer" not in known:
        try:
            known["answer"] = dev_server() is not None
        except ReloaderUnknown:  # perhaps only for now
            return False
    return known["answer"]


def _covers(answer: bool | frozenset[Key] | None, session: Session) -> bool:
    return answer is True or (isinstance(answer, frozenset) and session.key in answer)


def _checked(answer: object, authorize: Callable[..., Any]) -> bool | frozenset[Key] | None:
    """What the app's function returned, keys as a set."""
    if answer is None or isinstance(answer, bool):
        return answer
    if answer in ("", ()):  # nobody is logged in
        return None
    if isinstance(answer, list | set | frozenset):
        keys: frozenset[Any] = frozenset(answer)
    else:
        keys = frozenset({answer}) if isinstance(answer, str | tuple) else frozenset({None})
    if all(_is_key(key) for key in keys):
        return keys
    raise ConfigurationError(
        f"{_name(authorize)} returned {type(answer).__name__}: authorize returns True, False, None, a key, or a list "
        f"or set of keys"
    )


def _is_key(value: object) -> bool:
    return isinstance(value, str) or (isinstance(value, tuple) and all(isinstance(part, str) for part in value))


def _takes_session(authorize: Callable[..., Any]) -> bool:
    try:
        signature = inspect.signature(authorize)
    except (TypeError, ValueError) as error:
        raise ConfigurationError(f"authorize={authorize!r} is no function whose arguments can be told") from error
    for count in (3, 2):
        try:
            signature.bind(*range(count))
        except TypeError:
            continue
        return count == 3
    raise ConfigurationError(
        f"authorize={_name(authorize)}{signature} should take (connection, action, session), or (connection, action) "
        f"if what it says holds for all sessions"
    )


def _name(function: Callable[..., Any]) -> str:
    return str(getattr(function, "__qualname__", None) or repr(function))
