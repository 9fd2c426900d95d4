"""The module that pages import, in a real browser, over routes of a small app: lists, events, refusals, words."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.browser import browser, needs_browser
from tests.e2e.page import Page
from tests.e2e.servers import Server, free_port, uvicorn, wait_until, write_project

pytestmark = [pytest.mark.e2e, needs_browser]

APP = """
    from starlette.applications import Starlette
    from starlette.responses import HTMLResponse
    from starlette.routing import Mount, Route

    import hotsession

    rooms = hotsession.sessions("rooms")
    allowed = {"all": True}


    def may(connection, action):
        return allowed["all"]


    async def page(request):
        return HTMLResponse("<!doctype html><html lang=en><div id=offer></div>")


    async def lock(request):
        allowed["all"] = not allowed["all"]
        return HTMLResponse("")


    routes = [Route("/", page), Route("/lock", lock), Mount("/deep/rooms", hotsession.session_routes(rooms, may))]
    app = Starlette(routes=routes)
"""


class Script(Page):
    """A page without anything, in which scripts run that have the module's names."""

    def ask(self, script: str) -> Any:
        """Run the body of an async function and return what it returns, or the name and fields of its error."""
        wrapped = f"""
            const done = arguments[arguments.length - 1]
            import("/deep/rooms/hotsession.js").then(async ({{ Sessions, offer, autoResume, ago }}) => {{
                {script}
            }}).then(done, error => done({{name: error.name, message: error.message, ...error}}))"""
        return self.driver.execute_async_script(wrapped)

    def listen(self, options: str = "") -> None:
        """Listen, and remember what is heard in `window.heard`."""
        self.ask(f"""
            const sessions = window.sessions = new Sessions({{pollEvery: 200, {options}}})
            window.heard = []
            sessions.addEventListener("change", () => heard.push(sessions.list.map(each => [each.key, each.status])))
            sessions.listen()""")
        self.wait_for_state("live")

    def wait_for_state(self, state: str) -> None:
        wait_until(lambda: self.run("return window.sessions.state") == state, 20, f"the state {state}")

    def wait_for_list(self, *expected: tuple[Any, str]) -> None:
        wanted = [list(each) for each in expected]
        script = "return window.sessions.list.map(each => [each.key, each.status])"
        wait_until(lambda: self.run(script) == wanted, 20, f"{wanted}, not {self.run(script)}")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return write_project(tmp_path / "project", {"main.py": APP})


@pytest.fixture
def server(project: Path) -> Iterator[Server]:
    with Server(uvicorn("main:app"), project) as server:
        yield server


@pytest.fixture
def page(server: Server, tmp_path: Path) -> Iterator[Script]:
    with browser(tmp_path / "profile") as driver:
        yield Script(driver, server.url)


def start(server: Server, key: str | list[str]) -> str:
    started: str = server.post("/deep/rooms/", json={"key": key}).json()["id"]
    return started


def test_what_changes_is_heard_of(page: Script, server: Server) -> None:
    """The list is that of the server after each change, newest first, from where the module was mounted."""
    first = start(server, "one")
    page.listen()
    page.wait_for_list(("one", "active"))
    start(server, "two")
    page.wait_for_list(("two", "active"), ("one", "active"))
    server.post(f"/deep/rooms/{first}/pause")
    page.wait_for_list(("two", "active"), ("one", "paused"))
    heard = page.run("return window.heard")
    assert heard == [json.loads(each) for each in dict.fromkeys(json.dumps(each) for each in heard)]  # nothing twice


def test_a_page_may_listen_to_one_key_or_state(page: Script, server: Server) -> None:
    """With a key, also one of several parts, or a status, the list has nothing else, whatever is heard of."""
    start(server, ["ada", "kitchen"])
    start(server, "other")
    page.listen("key: ['ada', 'kitchen'], status: 'active'")
    page.wait_for_list((["ada", "kitchen"], "active"))
    page.ask("await sessions.pause(sessions.list[0].id, 'for lunch')")
    page.wait_for_list()
    assert page.ask("return (await sessions.start()).reused") is True
    page.wait_for_list((["ada", "kitchen"], "active"))


def test_a_refusal_is_an_error_with_its_code(page: Script, server: Server) -> None:
    """What the routes refuse rejects with their code, status and words."""
    refused = page.ask("return new Sessions().get('no/body')")
    assert (refused["name"], refused["status"]) == ("SessionError", 404)
    missing = page.ask("return new Sessions().end('nobody')")
    assert (missing["name"], missing["code"], missing["status"]) == ("SessionError", "session_not_found", 404)
    assert "nobody" in missing["message"]
    assert page.ask("return new Sessions().all({limit: -1})")["status"] == 400


def test_who_may_not_listen_yet_comes_back(page: Script, server: Server) -> None:
    """Refused, the state is "lost" with the reason; allowed again, a refresh is enough."""
    server.get("/lock")
    page.ask("window.sessions = new Sessions({pollEvery: 200}).listen()")
    page.wait_for_state("lost")
    assert page.run("return window.sessions.error.code") == "not_allowed"
    server.get("/lock")
    page.ask("await sessions.refresh()")
    page.wait_for_state("polling")


def test_sessions_that_the_server_lost_are_gone_from_the_page(project: Path, tmp_path: Path) -> None:
    """A server that starts anew with nothing tells to list again: the page shows what there is, and not what was."""
    port = free_port()
    with browser(tmp_path / "profile") as driver:
        with Server(uvicorn("main:app"), project, port=port) as server:
            page = Script(driver, server.url)
            start(server, "before")
            page.listen()
            page.wait_for_list(("before", "active"))
            server.stop()
        with Server(uvicorn("main:app"), project, port=port) as server:
            page.wait_for_state("live")
            start(server, "after")
            page.wait_for_list(("after", "active"))


def test_a_page_that_is_done_listens_no_more(page: Script, server: Server) -> None:
    """After `close` nothing changes; after another `listen` it is up to date."""
    page.listen()
    page.ask("sessions.close()")
    start(server, "unheard")
    assert page.run("return [window.sessions.state, window.sessions.list]") == ["closed", []]
    page.ask("sessions.listen()")
    page.wait_for_list(("unheard", "active"))


def test_an_offer_is_made_where_there_is_something_to_go_on_with(page: Script, server: Server) -> None:
    """Without a live session there is no question; with one, its state and age are told, and the answer counts."""
    asked = "offer(document.querySelector('#offer'), new Sessions(), {key: 'ada', describe: () => 'Two cats.'})"
    assert page.ask(f"return {asked}") is None
    known = start(server, "ada")
    page.ask(f"window.chosen = {asked}")
    assert page.wait_for("#offer p") == "Active, last used just now, begun just now. Two cats."
    page.click("#offer [data-choice=continue]")
    assert page.ask("return (await window.chosen).id") == known
    page.ask("autoResume(new Sessions(), 'ada').on = true")
    assert page.ask(f"return (await {asked}).id") == known


def test_ages_are_told_in_words(page: Script) -> None:
    """Ages are in the page's language, in the largest unit that fits."""
    assert page.ask("""
        const now = Date.parse("2026-05-01T12:00:00Z")
        return ["2026-05-01T12:00:03Z", "2026-05-01T11:59:15Z", "2026-05-01T11:55:00Z", "2026-05-01T09:59:00Z",
                "2026-04-30T11:00:00Z"].map(moment => ago(moment, now))
    """) == ["just now", "45 seconds ago", "5 minutes ago", "2 hours ago", "yesterday"]
