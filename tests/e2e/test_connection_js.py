"""The WebSocket that comes back, in a real browser, against a small real server that closes, dies and refuses."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.deadlines import DEADLINE
from tests.e2e.browser import browser, needs_browser
from tests.e2e.page import Page
from tests.e2e.servers import Server, uvicorn, wait_until, write_project
from tests.e2e.talker import Talker

pytestmark = [pytest.mark.e2e, needs_browser]

APP = """
    from starlette.applications import Starlette
    from starlette.responses import HTMLResponse
    from starlette.routing import Mount, Route

    import hotsession


    async def page(request):
        return HTMLResponse("<!doctype html><html lang=en>")


    rooms = hotsession.session_routes(hotsession.sessions("rooms"))
    app = Starlette(routes=[Route("/", page), Mount("/rooms", rooms)])
"""


class Script(Page):
    """A page without anything, in which `talk` is a connection to the server."""

    def ask(self, script: str) -> Any:
        """Run the body of an async function and return what it returns, or the name and message of its error."""
        return self.driver.execute_async_script(f"""
            const done = arguments[arguments.length - 1]
            import("/rooms/hotsession.js").then(async ({{ Connection }}) => {{ {script} }})
                .then(done, error => done({{name: error.name, message: error.message}}))""")

    def connect(self, talker: Talker, options: str = "") -> None:
        """Connect, and remember states and messages in `window.states` and `window.heard`."""
        self.ask(f"""
            window.talk = new Connection({json.dumps(talker.url)}, {{ {options} }})
            window.states = []
            window.heard = []
            talk.addEventListener("state", () => states.push(talk.state))
            talk.addEventListener("message", (event) => heard.push(event.data))
            talk.open()""")

    def send(self, message: Any) -> Any:
        return self.run("return talk.send(arguments[0])", message)

    def wait_for_state(self, state: str, opened: int | None = None) -> None:
        def reached() -> bool:
            return bool(self.run("return talk.state") == state and opened in (None, self.run("return talk.opened")))

        wait_until(reached, DEADLINE, f"{state}, after {self.run('return states')}")


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Script]:
    """One browser for all of the tests; each loads the page anew."""
    directory = tmp_path_factory.mktemp("connection")
    project = write_project(directory / "project", {"main.py": APP})
    with Server(uvicorn("main:app"), project) as server, browser(directory / "profile") as driver:
        yield Script(driver, server.url)


@pytest.fixture
def script(page: Script) -> Script:
    page.open()
    return page


@pytest.fixture
def talker(script: Script) -> Iterator[Talker]:
    with Talker() as talker:
        yield talker
        script.driver.get("about:blank")  # nobody comes back any more


def test_a_restart_is_come_back_from_at_once(script: Script, talker: Talker) -> None:
    """After 1012 the state is "connecting" until it is open again: nothing was lost, and the reason is there."""
    script.connect(talker)
    script.wait_for_state("open", 1)
    talker.wait_for(1).close(1012, "new code")
    script.wait_for_state("open", 2)
    assert script.run("return states") == ["connecting", "open", "connecting", "open"]
    assert script.run("return [talk.code, talk.reason]") == [1012, "new code"]


def test_a_server_that_is_not_back_yet_is_asked_until_it_is(script: Script, talker: Talker) -> None:
    """While a restarting server refuses, attempts follow in short pauses, and it stays "connecting"."""
    script.connect(talker)
    script.wait_for_state("open")
    talker.is_refusing = True
    talker.wait_for(1).close(1012)
    talker.wait_until_refused(8)
    talker.is_refusing = False
    script.wait_for_state("open", 2)
    assert script.run("return states") == ["connecting", "open", "connecting", "open"]


def test_what_is_lost_in_another_way_is_lost_until_somebody_answers(script: Script, talker: Talker) -> None:
    """Without a close frame (1006), and then without a server, the state is "lost"; it comes back with the server."""
    script.connect(talker)
    script.wait_for_state("open")
    talker.stop()
    script.wait_for_state("lost")
    assert script.run("return talk.code") == 1006
    talker.start()
    script.wait_for_state("open", 2)
    assert script.run("return states") == ["connecting", "open", "lost", "open"]


def test_a_server_that_closes_each_connection_is_not_stormed(script: Script, talker: Talker) -> None:
    """Also with 1012 the pauses grow, when the connections don't last."""
    talker.greet = lambda connection: connection.close(1012)
    script.connect(talker)
    talker.wait_for(2)
    began = time.monotonic()
    talker.wait_for(8)
    assert time.monotonic() - began > 0.5


def test_pauses_grow_to_a_bound_and_differ(script: Script) -> None:
    """Each pause is up to twice the one before, at least half of that, and no longer than is allowed."""
    rule = 'const { pause } = await import("/rooms/connection.js");'
    tries = "[0, 1, 2, 3, 10, 2000]"
    longest = script.ask(f"{rule} return {tries}.map(tries => pause(tries, {{random: 1, longest: 4000}}))")
    assert longest == [250, 500, 1000, 2000, 4000, 4000]
    shortest = script.ask(f"{rule} return {tries}.map(tries => pause(tries, {{random: 0, longest: 4000}}))")
    assert shortest == [each / 2 for each in longest]
    restarting = script.ask(f"{rule} return {tries}.map(tries => pause(tries, {{random: 1, restarting: true}}))")
    assert restarting == [0, 50, 100, 200, 500, 500]
    drawn = script.ask(f"{rule} return Array.from({{length: 50}}, () => pause(3))")
    assert len(set(drawn)) > 10
    assert all(1000 <= each <= 2000 for each in drawn)


def test_coming_into_view_ends_a_pause(script: Script, talker: Talker) -> None:
    """The network is back, or somebody looks: the next attempt is made now."""
    talker.is_refusing = True
    script.connect(talker)
    for event in ("window.dispatchEvent(new Event('online'))", "document.dispatchEvent(new Event('visibilitychange'))"):
        # seven failures: by now the pauses are longer than this test is patient
        talker.wait_until_refused(7)
        refused = len(talker.refused)
        script.run(event)
        talker.wait_until_refused(refused + 1, 5)
    talker.is_refusing = False
    script.run(event)
    script.wait_for_state("open", 1)


def test_messages_wait_for_the_connection_in_order(script: Script, talker: Talker) -> None:
    """What is sent before it is open, or while it is lost, is sent when it is, once and in order, text and binary."""
    talker.is_refusing = True
    script.connect(talker)
    script.run("talk.send('1'); talk.send({number: 2}); talk.send(new Uint8Array([3]))")
    assert len(script.run("return talk.waiting")) == 3
    talker.is_refusing = False
    talker.wait_for(1)
    talker.wait_until_heard(1, 1, {"number": 2}, b"\x03")
    script.wait_for_state("open")
    assert script.run("return talk.waiting") == []
    talker.connections[0].close(1012)
    script.send("4")
    script.send("5")
    talker.wait_for(2)
    wait_until(lambda: [each for heard in talker.heard for each in heard][3:] == [4, 5], DEADLINE, f"{talker.heard}")


def test_what_waits_is_bounded(script: Script, talker: Talker) -> None:
    """One message too many is an error, and so is one after the end; those before it are sent."""
    talker.is_refusing = True
    script.connect(talker, "limit: 2")
    script.send("1")
    script.send("2")
    assert script.ask("talk.send('3')")["name"] == "QuotaExceededError"
    talker.is_refusing = False
    talker.wait_for(1)
    talker.wait_until_heard(1, 1, 2)
    script.run("talk.close()")
    assert script.ask("talk.send('4')")["name"] == "InvalidStateError"


def test_what_was_not_acknowledged_is_sent_again(script: Script, talker: Talker) -> None:
    """With `resend`, messages have ids of their own, and those without an `ack` are sent again in the same order."""
    talker.answer = lambda message: {"ack": message["id"]} if message["text"] == "known" else None
    script.connect(talker, "resend: true")
    script.wait_for_state("open")
    known, first, second = (script.send({"text": text}) for text in ("known", "first", "second"))
    assert len({known, first, second}) == 3
    wait_until(lambda: script.run("return talk.waiting.length") == 2, DEADLINE, "the acknowledgement")
    talker.answer = lambda message: {"ack": message["id"], "answer": message["text"]}
    talker.connections[0].close(1012)
    talker.wait_for(2)
    talker.wait_until_heard(2, {"id": first, "text": "first"}, {"id": second, "text": "second"})
    wait_until(lambda: script.run("return talk.waiting.length") == 0, DEADLINE, "all acknowledgements")
    assert [json.loads(each).get("answer") for each in script.run("return heard")] == [None, "first", "second"]
    talker.connections[1].close(1012)
    talker.wait_for(3)
    script.wait_for_state("open", 3)
    assert talker.heard[2] == []


def test_a_message_may_bring_its_id_and_be_given_up(script: Script, talker: Talker) -> None:
    """An id of the page's own counts; what the page gives up, or knows to be answered, is not sent again."""
    script.connect(talker, "resend: true")
    script.wait_for_state("open")
    assert script.send({"id": "mine", "text": "Hi"}) == "mine"
    script.send({"id": "other", "text": "Ho"})
    script.run("talk.acknowledge('mine')")
    talker.wait_until_heard(1, {"id": "mine", "text": "Hi"}, {"id": "other", "text": "Ho"})
    talker.connections[0].close(1012)
    talker.wait_for(2)
    talker.wait_until_heard(2, {"id": "other", "text": "Ho"})
    assert script.ask("talk.send('no object')")["name"] == "TypeError"


def test_the_page_says_where_it_was_before_anything_else(script: Script, talker: Talker) -> None:
    """What `hello` returns, at once or later, is the first message of each connection."""
    hello = "hello: async (talk) => ({after: await Promise.resolve(talk.opened)})"
    script.connect(talker, hello)
    script.send({"text": "one"})
    talker.wait_for(1)
    talker.wait_until_heard(1, {"after": 1}, {"text": "one"})
    talker.connections[0].close(1012)
    talker.wait_for(2)
    talker.wait_until_heard(2, {"after": 2})


def test_a_page_that_could_not_catch_up_tries_again(script: Script, talker: Talker) -> None:
    """When `hello` fails the connection is not open: nothing is sent, and there is another attempt."""
    script.connect(talker, "hello: (talk) => { if (talk.opened === 1) throw new Error('no history') }")
    script.send("1")
    talker.wait_for(2)
    talker.wait_until_heard(2, 1)
    assert talker.heard[0] == []
    script.wait_for_state("open", 2)
    assert script.run("return states") == ["connecting", "lost", "open"]


@pytest.mark.parametrize("code", [1000, 1008])
def test_a_server_that_is_done_is_left_alone(script: Script, talker: Talker, code: int) -> None:
    """After 1000 or 1008 of the server it is closed, and may be opened again by the page."""
    script.connect(talker)
    script.wait_for_state("open")
    talker.wait_for(1).close(code)
    script.wait_for_state("closed")
    assert script.run("return talk.code") == code
    script.run("talk.open()")
    script.wait_for_state("open", 2)


def test_the_page_may_say_after_which_codes_it_comes_back(script: Script, talker: Talker) -> None:
    """What `retry` returns counts, for each code."""
    script.connect(talker, "retry: (code) => code === 1000")
    script.wait_for_state("open", 1)
    talker.wait_for(1).close(1000)
    script.wait_for_state("open", 2)
    talker.wait_for(2).close(1012)
    script.wait_for_state("closed")


def test_a_page_that_closes_is_heard_and_stays_away(script: Script, talker: Talker) -> None:
    """The server gets the page's code and reason; also during a pause a close ends everything."""
    script.connect(talker)
    script.wait_for_state("open")
    script.run("talk.close(4001, 'done')")
    connection = talker.wait_for(1)
    wait_until(lambda: connection.close_code == 4001, DEADLINE, "the code")
    assert connection.close_reason == "done"
    assert script.run("return states") == ["connecting", "open", "closed"]
    talker.is_refusing = True
    script.run("talk.open()")
    script.wait_for_state("lost")
    script.run("talk.close()")
    talker.is_refusing = False
    script.run("talk.open()")
    script.wait_for_state("open", 2)
    assert len(talker.connections) == 2
