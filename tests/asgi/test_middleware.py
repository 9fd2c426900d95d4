"""A browser and its session: when it is made, kept, renewed and ended, and what the answer says of it."""

from __future__ import annotations

import json
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from starlette.requests import HTTPConnection, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from hotsession.asgi.middleware import BROWSERS, HotSessionMiddleware
from hotsession.errors import ConfigurationError, SessionError
from hotsession.kept import reset, sessions, storage
from hotsession.lifecycle.current import current_session
from hotsession.lifecycle.data import SessionData
from hotsession.lifecycle.manager import SessionManager
from hotsession.lifecycle.token import hash_token
from hotsession.registry import registry
from hotsession.storages.memory import MemoryStorage
from tests.asgi.browser import Browser
from tests.lifecycle.clock import Clock

pytestmark = pytest.mark.anyio

Handler = Callable[[Request], Awaitable[Any]]


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    """Both of anyio's backends."""
    return str(request.param)


async def view(request: Request) -> Any:
    return request.session


async def update(request: Request) -> Any:
    request.session.update(await request.json())
    return request.session


async def append(request: Request) -> Any:
    request.session["messages"].append(await request.json())
    return request.session


async def clear(request: Request) -> Any:
    request.session.clear()
    return request.session


async def pop(request: Request) -> Any:
    request.session.popitem()
    return request.session


async def nothing(request: Request) -> Any:
    return "nothing"


HANDLERS: dict[str, Handler] = {
    "/view": view,
    "/update": update,
    "/append": append,
    "/clear": clear,
    "/pop": pop,
    "/nothing": nothing,
}


def serving(handlers: dict[str, Handler]) -> ASGIApp:
    """An ASGI app without a framework: a handler per path, whose result is the body."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        body = json.dumps(await handlers[scope["path"]](Request(scope, receive))).encode()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"vary", b"Accept")]})
        await send({"type": "http.response.body", "body": body})

    return app


def browser(handlers: dict[str, Handler] | None = None, **options: Any) -> Browser:
    """A browser before an app with the middleware."""
    return Browser(HotSessionMiddleware(serving({**HANDLERS, **(handlers or {})}), **options))


def live() -> int:
    """How many sessions are stored and live."""
    return len(storage())  # type: ignore[arg-type]


# what is kept


async def test_what_is_written_is_there_in_the_next_request() -> None:
    """And only for that browser."""
    mine = browser()
    other = Browser(mine.app)
    assert (await mine.get("/view")).json == {}
    assert (await mine.post("/update", {"some": "data"})).json == {"some": "data"}
    assert (await mine.get("/view")).json == {"some": "data"}
    assert (await other.get("/view")).json == {}


async def test_a_change_inside_a_value_is_kept() -> None:
    """Nothing has to be assigned anew for it."""
    mine = browser()
    await mine.post("/update", {"messages": []})
    for text in ("one", "two"):
        assert (await mine.post("/append", text)).cookie is None
    assert (await mine.get("/view")).json == {"messages": ["one", "two"]}


async def test_removing_items_is_kept() -> None:
    """The last one that goes ends the session."""
    mine = browser()
    await mine.post("/update", {"a": 1, "b": 2})
    await mine.post("/pop")
    assert (await mine.get("/view")).json == {"a": 1}
    await mine.post("/pop")
    assert mine.cookies == {}
    assert live() == 0


async def test_any_python_object_is_kept_as_it_is() -> None:
    """The data never leaves the server, so it need not be JSON."""
    thing, seen = object(), []

    async def put(request: Request) -> None:
        request.session["thing"] = thing

    async def look(request: Request) -> None:
        seen.append(request.session["thing"])

    mine = browser({"/put": put, "/look": look})
    await mine.get("/put")
    await mine.get("/look")
    assert seen == [thing]


async def test_a_middleware_made_anew_finds_the_session() -> None:
    """A reload builds the app again; the session is kept by the manager, not by the middleware."""
    mine = browser()
    await mine.post("/update", {"a": 1})
    mine.app = HotSessionMiddleware(serving(HANDLERS))
    assert (await mine.get("/view")).json == {"a": 1}


async def test_concurrent_requests_share_the_data() -> None:
    """A request sees at once what another one of the same browser writes."""
    written, read = anyio.Event(), anyio.Event()

    async def wait(request: Request) -> Any:
        await written.wait()
        seen = dict(request.session)
        read.set()
        return seen

    async def write(request: Request) -> Any:
        request.session["late"] = True
        written.set()
        await read.wait()

    mine = browser({"/wait": wait, "/write": write})
    await mine.post("/update", {"a": 1})
    answers: list[Any] = []

    async def ask(path: str) -> None:
        answer = await mine.get(path)
        answers.append((path, answer.json, answer.cookie is not None))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(ask, "/wait")
        tasks.start_soon(ask, "/write")
    assert ("/wait", {"a": 1, "late": True}, False) in answers
    assert ("/write", None, True) in answers


# the cookie


async def test_a_cookie_is_sent_only_when_something_was_written() -> None:
    """Not for reading, not for nothing; and each write renews it."""
    mine = browser(max_age=60)
    assert (await mine.get("/view")).cookie is None
    assert (await mine.get("/nothing")).cookie is None
    first = (await mine.post("/update", {"a": 1})).cookie
    assert first is not None
    assert "; Max-Age=60; " in first
    assert (await mine.get("/view")).cookie is None
    assert (await mine.post("/update", {"a": 2})).cookie == first


async def test_nothing_is_stored_until_something_is_written() -> None:
    """Visitors that only look leave no session behind, even if they look closely."""

    async def look(request: Request) -> Any:
        session = current_session()
        assert session is not None
        request.session.get("a")
        return session.version

    mine = browser({"/look": look})
    assert (await mine.get("/look")).json == 0
    assert (await mine.post("/update", {})).cookie is None
    assert live() == 0


async def test_the_answer_varies_by_cookie_only_when_the_session_was_used() -> None:
    """`Vary` is completed, not replaced, and not doubled."""
    mine = browser()
    assert (await mine.get("/nothing")).header("vary") == ["Accept"]
    assert (await mine.get("/view")).header("vary") == ["Accept, Cookie"]
    assert (await mine.post("/update", {"a": 1})).header("vary") == ["Accept, Cookie"]
    twice = Browser(HotSessionMiddleware(mine.app, session_cookie="other"))
    assert (await twice.get("/view")).header("vary") == ["Accept, Cookie"]


async def test_an_app_that_sends_one_message_to_all_gives_nobody_anothers_cookie() -> None:
    """Headers are added to a copy of what the app sends, also when it sends none or a tuple of them."""
    start: Message = {"type": "http.response.start", "status": 200, "headers": ((b"a", b"b"),)}

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        scope["session"]["a"] = 1
        await send(start)
        await send({"type": "http.response.body"})

    one, other = Browser(HotSessionMiddleware(app)), Browser(HotSessionMiddleware(app))
    assert (await one.get("/")).cookie != (await other.get("/")).cookie
    assert start == {"type": "http.response.start", "status": 200, "headers": ((b"a", b"b"),)}
    del start["headers"]
    assert (await Browser(HotSessionMiddleware(app)).get("/")).cookie is not None


async def test_the_cookie_holds_no_id_and_the_storage_no_cookie() -> None:
    """What is shown opens nothing, and what is stored opens nothing."""
    mine = browser()
    await mine.post("/update", {"a": 1})
    (session,) = await sessions().list()
    token = mine.cookies["session"]
    assert session.id not in token
    assert session.record.token_hash == hash_token(token.encode())
    assert token not in repr(session.record)
    assert (await Browser(mine.app, {"session": session.id}).get("/view")).json == {}


async def test_clearing_ends_the_session_and_takes_the_cookie() -> None:
    """The old cookie opens nothing from then on."""
    mine = browser()
    await mine.post("/update", {"a": 1})
    old = dict(mine.cookies)
    answer = await mine.post("/clear")
    assert answer.cookie is not None
    assert answer.cookie.startswith("session=null; path=/; expires=Thu, 01 Jan 1970 00:00:00 GMT; ")
    (session,) = await sessions().list()
    assert (session.status, session.reason) == ("ended", "cleared")
    assert (await Browser(mine.app, old).get("/view")).json == {}
    assert (await Browser(mine.app, old).post("/clear")).cookie is None


async def test_clearing_and_writing_again_is_the_same_session() -> None:
    """What counts is what is in it when the answer begins."""

    async def swap(request: Request) -> None:
        request.session.clear()
        request.session["b"] = 2

    mine = browser({"/swap": swap})
    await mine.post("/update", {"a": 1})
    before = dict(mine.cookies)
    await mine.get("/swap")
    assert mine.cookies == before
    assert (await mine.get("/view")).json == {"b": 2}


@pytest.mark.parametrize(
    "value",
    [
        "A" * 32,
        "A" * 64,
        "A" * 20_000,
        "null",
        "",
        "\xff\xfe",
        "eyJhIjogMX0=.aR0Z5g.Jp1_8Nq3bVxkTQ8s1iFJ2tS4O7I",
    ],
)
@pytest.mark.parametrize("secret_key", [None, "secret"])
async def test_a_foreign_cookie_is_left_alone_until_something_is_written(value: str, secret_key: str | None) -> None:
    """Unknown, forged, too long, or another app's: no session, no cookie taken; a write gives a token of ours."""
    mine = browser(secret_key=secret_key)
    mine.cookies = {"session": value, "theme": "dark"}
    for path in ("/view", "/nothing", "/clear"):
        assert (await mine.get(path)).cookie is None
    assert (await mine.post("/update", {"a": 1})).cookie is not None
    assert mine.cookies["session"] != value
    assert (await mine.get("/view")).json == {"a": 1}


async def test_a_foreign_cookie_beside_ours_does_not_hide_it() -> None:
    """Two apps on one host may use one name with different paths; the browser sends both."""
    mine = browser()
    await mine.post("/update", {"a": 1})
    for pair in ("session=" + "B" * 32 + "; session={}", "session={}; session=" + "B" * 32):
        both = Browser(mine.app, {"x": "y; " + pair.format(mine.cookies["session"])})
        assert (await both.get("/view")).json == {"a": 1}


async def test_a_signed_cookie_opens_and_a_forged_signature_does_not() -> None:
    """With a secret key a token alone is not enough, and another key's is refused."""
    mine = browser(secret_key="secret")
    await mine.post("/update", {"a": 1})
    signed = mine.cookies["session"]
    assert (await mine.get("/view")).json == {"a": 1}
    for forged in (signed[:32], signed[:32] + "A" * 32, signed[:-1] + ("B" if signed[-1] == "A" else "A")):
        assert (await Browser(mine.app, {"session": forged}).get("/view")).json == {}
    other = Browser(HotSessionMiddleware(serving(HANDLERS), secret_key="other"), mine.cookies)
    assert (await other.get("/view")).json == {}


# its time


@pytest.mark.parametrize("max_age", [-1, 0])
async def test_a_cookie_without_a_lifetime_opens_nothing(max_age: int) -> None:
    """The server doesn't leave expiry to the browser."""
    mine = browser(max_age=max_age)
    answer = await mine.post("/update", {"a": 1})
    assert f"; Max-Age={max_age}; " in (answer.cookie or "")
    assert (await Browser(mine.app, {"session": (answer.cookie or "")[8:40]}).get("/view")).json == {}


async def test_a_session_lives_as_long_as_its_cookie_and_its_manager_allow() -> None:
    """Both limits count, and each write begins the cookie's anew."""
    clock = Clock()
    manager = SessionManager(storage=storage(), idle_timeout=1000, clock=clock)
    registry.keep(BROWSERS, lambda: manager, kind="sessions")
    mine = browser(max_age=100)
    await mine.post("/update", {"a": 1})
    clock.pass_by(90)
    await mine.post("/update", {"b": 2})
    clock.pass_by(90)
    assert (await mine.get("/view")).json == {"a": 1, "b": 2}
    clock.pass_by(90)
    assert (await mine.get("/view")).json == {}
    manager.configure(idle_timeout=10)
    await mine.post("/update", {"c": 3})
    clock.pass_by(11)
    assert (await mine.get("/view")).json == {}


async def test_without_max_age_the_cookie_goes_with_the_browser() -> None:
    """No Max-Age, and no end on the server but the manager's."""
    mine = browser(max_age=None)
    assert "Max-Age" not in ((await mine.post("/update", {"a": 1})).cookie or "")
    (session,) = await sessions().list()
    assert session.expires_at is None


# the session behind it


async def test_current_session_is_the_browsers() -> None:
    """Its data is `request.session`, and it is none outside of a request."""

    async def look(request: Request) -> Any:
        session = current_session()
        assert session is not None
        assert session is current_session()
        assert session.data is request.session
        assert type(request.session) is SessionData
        session.data["seen"] = True
        return [session.id, session.version, session.reused]

    mine = browser({"/look": look})
    session_id, version, reused = (await mine.get("/look")).json
    assert (version, reused) == (0, False)
    again = (await mine.get("/look")).json
    assert again == [session_id, 1, True]
    assert (await sessions().get(session_id)).data == {"seen": True}
    assert current_session() is None


async def test_writes_are_counted() -> None:
    """Each request that writes makes a version, and moves the time of the last write."""
    mine = browser()
    for number in range(3):
        await mine.post("/update", {"a": number})
    await mine.get("/view")
    (session,) = await sessions().list()
    assert session.version == 3


async def test_tasks_and_threads_of_a_request_see_its_session() -> None:
    """What a request starts belongs to it."""

    async def look(request: Request) -> Any:
        seen: list[Any] = []

        async def task() -> None:
            seen.append(current_session())

        def thread() -> None:
            seen.append(current_session())
            request.session["thread"] = True

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(task)
        await anyio.to_thread.run_sync(thread)
        return [session is current_session() for session in seen]

    mine = browser({"/look": look})
    assert (await mine.get("/look")).json == [True, True]
    assert (await mine.get("/view")).json == {"thread": True}


async def test_asking_the_manager_without_a_key_gives_the_browsers_session() -> None:
    """It is made for that, so it is stored and the browser gets its cookie; with data it starts with it."""

    async def plain(request: Request) -> Any:
        return (await sessions().get_or_create()).id

    async def filled(request: Request) -> Any:
        session = await sessions().get_or_create(data=lambda: {"a": 1})
        assert session.data is request.session
        return session.id

    async def apart(request: Request) -> Any:
        return (await sessions().get_or_create(force_new=True)).id

    async def other(request: Request) -> Any:
        return (await sessions("jobs").get_or_create()).key

    mine = browser({"/plain": plain, "/filled": filled, "/apart": apart, "/other": other})
    own = (await mine.get("/plain")).json
    assert "session" in mine.cookies
    assert (await mine.get("/plain")).json == (await mine.get("/filled")).json == own
    assert (await mine.get("/view")).json == {}
    assert (await mine.get("/apart")).json != own
    assert (await mine.get("/other")).json is None
    fresh = Browser(mine.app)
    assert (await fresh.get("/filled")).json != own
    assert (await fresh.get("/view")).json == {"a": 1}


async def test_other_data_in_its_place_is_kept() -> None:
    """Who gives the session another dict finds that one in the next request, with all that a session's data can."""

    async def replace(request: Request) -> None:
        session = current_session()
        assert session is not None
        session.data = {"b": 2}
        await sessions().save(session)

    mine = browser({"/replace": replace})
    await mine.post("/update", {"a": 1})
    await mine.get("/replace")
    assert (await mine.get("/view")).json == {"b": 2}
    assert (await mine.post("/update", {"c": 3})).cookie is not None
    assert (await mine.get("/view")).json == {"b": 2, "c": 3}


async def test_a_new_token_replaces_the_old_one() -> None:
    """After a login the old cookie, which somebody else may know, opens nothing; the session is the same."""

    async def login(request: Request) -> Any:
        session = current_session()
        assert session is not None
        session.regenerate_token()
        request.session["user"] = "ada"
        return session.id

    mine = browser({"/login": login})
    await mine.post("/update", {"a": 1})
    (before,) = await sessions().list()
    old = dict(mine.cookies)
    assert (await mine.get("/login")).json == before.id
    assert mine.cookies != old
    assert (await mine.get("/view")).json == {"a": 1, "user": "ada"}
    assert (await Browser(mine.app, old).get("/view")).json == {}
    assert live() == 1


async def test_a_new_token_needs_no_write_and_may_be_awaited() -> None:
    """It is given with the answer of the request that asked for it."""

    async def renew(request: Request) -> None:
        session = current_session()
        assert session is not None
        await session.regenerate_token()

    mine = browser({"/renew": renew})
    assert (await mine.get("/renew")).cookie is None  # nothing is stored, so nothing is to be renewed
    await mine.post("/update", {"a": 1})
    old = dict(mine.cookies)
    await mine.get("/renew")
    assert mine.cookies != old
    assert (await mine.get("/view")).json == {"a": 1}


async def test_a_new_token_that_can_not_be_sent_is_an_error_or_not_made() -> None:
    """When the answer has begun it is an error; when none begins the old token stays good."""
    errors: list[SessionError] = []

    async def too_late(scope: Scope, receive: Receive, send: Send) -> None:
        session = current_session()
        assert session is not None
        if scope["path"] == "/crash":
            session.regenerate_token()
            raise RuntimeError("crash")
        if scope["path"] == "/late":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            with pytest.raises(SessionError, match="the response has begun") as caught:
                session.regenerate_token()
            errors.append(caught.value)
        else:
            HTTPConnection(scope).session["a"] = 1
            await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": json.dumps(session.data).encode()})

    mine = Browser(HotSessionMiddleware(too_late))
    await mine.get("/write")
    await mine.get("/late")
    assert len(errors) == 1
    with pytest.raises(RuntimeError, match="crash"):
        await mine.get("/crash")
    assert (await mine.get("/late")).json == {"a": 1}


async def test_ending_it_by_the_manager_takes_the_cookie() -> None:
    """A logout through the manager is a logout of the browser."""

    async def logout(request: Request) -> None:
        session = current_session()
        assert session is not None
        await sessions().end(session, reason="logout")

    mine = browser({"/logout": logout})
    assert (await mine.get("/logout")).cookie is None
    await mine.post("/update", {"a": 1})
    old = dict(mine.cookies)
    await mine.get("/logout")
    assert mine.cookies == {}
    assert (await Browser(mine.app, old).get("/view")).json == {}
    assert live() == 0


async def test_a_logout_is_not_undone_by_a_request_in_flight(caplog: pytest.LogCaptureFixture) -> None:
    """What a request wrote into a session that another one ended goes with it; no new session carries it on."""
    ended, begun = anyio.Event(), anyio.Event()

    async def slow(request: Request) -> Any:
        request.session["slow"] = True
        begun.set()
        await ended.wait()

    mine = browser({"/slow": slow})
    await mine.post("/update", {"user": "ada"})
    (session,) = await sessions().list()
    cookies: list[str | None] = []

    async def ask() -> None:
        cookies.append((await mine.get("/slow")).cookie)

    with caplog.at_level(logging.INFO, logger="hotsession"):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ask)
            await begun.wait()
            await sessions().end(session.id)
            ended.set()
    assert cookies == [None]
    assert live() == 0
    assert "a session was over before a request that wrote to it could store that" in caplog.text


# when the answer is on its way, and when there is none


async def test_what_is_written_after_the_answer_began_is_kept() -> None:
    """A background task and a stream may write on; a session that exists has its cookie already."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        session = HTTPConnection(scope).session
        if scope["path"] == "/write":
            session["a"] = 1
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": json.dumps(session).encode()})
        if scope["path"] == "/late":
            session["late"] = True
        elif scope["path"] == "/end":
            session.clear()

    mine = Browser(HotSessionMiddleware(app))
    await mine.get("/write")
    await mine.get("/late")
    assert (await mine.get("/view")).json == {"a": 1, "late": True}
    (session,) = await sessions().list()
    assert session.version == 2
    await mine.get("/end")
    assert (await mine.get("/view")).json == {}
    assert live() == 0


async def test_a_new_session_begun_too_late_is_told(caplog: pytest.LogCaptureFixture) -> None:
    """It is stored, but the browser can't find it again: the log says so and what to do."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body"})
        scope["session"]["late"] = True

    answer = await Browser(HotSessionMiddleware(app)).get("/")
    assert answer.cookie is None
    (session,) = await sessions().list()
    assert session.data == {"late": True}
    assert session.expires_at is not None
    assert "was first written to after its answer had begun" in caplog.text
    assert session.id not in caplog.text


async def test_what_was_written_is_kept_when_the_app_raises() -> None:
    """The error passes through, the change stays."""

    async def crash(request: Request) -> None:
        request.session["a"] = 2
        raise RuntimeError("crash")

    mine = browser({"/crash": crash})
    await mine.post("/update", {"a": 1})
    with pytest.raises(RuntimeError, match="crash"):
        await mine.get("/crash")
    assert (await mine.get("/view")).json == {"a": 2}
    (session,) = await sessions().list()
    assert session.version == 2
    assert current_session() is None


# where it is put


async def test_nested_with_one_cookie_name_it_is_one_session() -> None:
    """The inner one uses what the outer one found, with one cookie and one store; another name is another session."""
    inner = HotSessionMiddleware(serving(HANDLERS))
    mine = Browser(HotSessionMiddleware(HotSessionMiddleware(inner, session_cookie="other")))
    assert (await mine.post("/update", {"a": 1})).cookie is not None
    assert mine.cookies.keys() == {"session"}
    assert (await mine.get("/view")).json == {"a": 1}
    assert live() == 1


async def test_two_cookie_names_are_two_sessions() -> None:
    """The inner one is `request.session`; the outer one's is left as it is."""
    inner = HotSessionMiddleware(serving(HANDLERS), session_cookie="inner")
    outer_seen: list[Any] = []

    async def around(scope: Scope, receive: Receive, send: Send) -> None:
        outer = scope["session"]
        outer["outer"] = True
        await inner(scope, receive, send)
        outer_seen.append((outer, scope["session"]))

    mine = Browser(HotSessionMiddleware(around, session_cookie="outer"))
    answer = await mine.post("/update", {"a": 1})
    assert len(answer.header("set-cookie")) == 2
    assert mine.cookies.keys() == {"inner", "outer"}
    assert outer_seen == [({"outer": True}, {"a": 1})]


async def test_an_app_asked_from_within_a_request_has_its_own_browser() -> None:
    """A request to another app, or to the same, made in the same task is no part of this request."""
    other = browser()

    async def ask(request: Request) -> Any:
        request.session["mine"] = True
        return (await other.get("/view")).json

    mine = browser({"/ask": ask})
    assert (await mine.get("/ask")).json == {}


async def test_what_is_no_request_passes_through() -> None:
    """Lifespan and whatever else there may be get no session."""
    seen: list[Scope] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope)

    async def unused() -> Message:
        raise AssertionError

    async def unsent(message: Message) -> None:
        raise AssertionError

    await HotSessionMiddleware(app)({"type": "lifespan"}, unused, unsent)
    assert seen == [{"type": "lifespan"}]


async def test_a_storage_can_be_given() -> None:
    """The sessions are there; another storage later is an error."""
    mine_storage = MemoryStorage()
    mine = browser(storage=mine_storage)
    await mine.post("/update", {"a": 1})
    assert len(mine_storage) == 1
    assert sessions().storage is mine_storage
    with pytest.raises(ConfigurationError, match="another storage"):
        await browser(storage=MemoryStorage()).get("/view")


async def test_a_reset_leaves_no_old_manager_behind() -> None:
    """After `hotsession.reset()` the middleware uses the manager that everybody gets."""
    mine = browser()
    await mine.post("/update", {"a": 1})
    reset()
    assert (await mine.get("/view")).json == {}
    await mine.post("/update", {"b": 2})
    assert [session.data for session in await sessions().list()] == [{"b": 2}]


def test_it_shows_what_it_is() -> None:
    """And not its key."""
    shown = repr(HotSessionMiddleware(serving({}), secret_key="hush"))
    assert shown == "<HotSessionMiddleware <SessionCookie 'session' max_age=1209600>>"
