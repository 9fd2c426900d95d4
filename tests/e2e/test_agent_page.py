"""The page of the agent example in a real browser: what somebody sees who edits the agent while it talks."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium.webdriver import Chrome

from examples.agent.thinking import compose
from tests.deadlines import DEADLINE
from tests.e2e.browser import browser, needs_browser
from tests.e2e.page import Page
from tests.e2e.servers import ROOT, Server, copy_project, hotsession_run, uvicorn_reload, wait_until

pytestmark = [pytest.mark.e2e, needs_browser]

LONG = "What can you do?"
WHOLE = compose(LONG, [], [])  # about a hundred words
ONCE = "socket once, stream once"


class AgentPage(Page):
    """The agent's page as its user sees it."""

    def __init__(self, driver: Chrome, server: Server) -> None:
        self.server = server
        super().__init__(driver, server.url)

    def open(self) -> None:
        super().open()
        self.wait_for("#connection[data-state=open]", "no. ")
        self.wait_for_code("")

    def ask(self, text: str) -> None:
        self.write("#text", f"{text}\n")

    def answers(self) -> list[str]:
        """The answers that are complete."""
        return self.texts(".agent:is([data-state=answered], [data-state=stopped], [data-state=failed]) .answer")

    def answer(self, text: str) -> str:
        """Ask, and wait for the whole answer."""
        before = len(self.answers())
        self.ask(text)
        return self.next_answer(before)

    def next_answer(self, before: int = 0) -> str:
        wait_until(lambda: len(self.answers()) > before, DEADLINE, f"answer no. {before + 1}")
        return self.answers()[before]

    def wait_for_words(self, count: int) -> None:
        """Wait until the last answer has so many words and goes on."""
        script = "return [...document.querySelectorAll('.agent[data-state=talking] .answer')].at(-1)?.textContent ?? ''"
        wait_until(lambda: len(self.run(script).split()) >= count, DEADLINE, f"{count} words")

    def wait_for_code(self, other_than: str) -> str:
        wait_until(lambda: self.text("#code") not in ("–", other_than), DEADLINE, f"other code than {other_than}")
        return self.text("#code")

    def watch(self) -> None:
        """Note from now on in `window.states` what is shown of the connection."""
        self.run("""
            window.states = []
            const note = () => states.at(-1) === connection.dataset.state || states.push(connection.dataset.state)
            note()
            new MutationObserver(note).observe(connection, {attributeFilter: ["data-state"]})""")

    def states(self) -> list[str]:
        return list(self.run("return window.states"))


@contextlib.contextmanager
def serve(command: tuple[str, ...], directory: Path, pace: str) -> Iterator[AgentPage]:
    project = directory / "project"
    copy_project(ROOT / "examples" / "agent", project / "agent")
    with (
        Server(command, project, env={"AGENT_PACE": pace}) as server,
        browser(directory / "profile") as driver,
    ):
        page = AgentPage(driver, server)
        page.watch()
        yield page


@pytest.fixture
def page(tmp_path: Path) -> Iterator[AgentPage]:
    with serve(hotsession_run("agent/main.py"), tmp_path, "0.02") as page:
        yield page


@pytest.fixture
def slow_page(tmp_path: Path) -> Iterator[AgentPage]:
    """The same, with an agent that takes six seconds for a long answer."""
    with serve(hotsession_run("agent/main.py"), tmp_path, "0.06") as page:
        yield page


def test_the_page_shows_how_an_answer_comes_about(page: AgentPage) -> None:
    """Plan, calls and results are shown above the answer, and are all there when the page is loaded anew."""
    answer = page.answer("How warm is Lisbon in spring, and what is 12 * (30 + 5)?")
    assert "20 °C by day" in answer
    assert page.texts(".steps > li[data-state=done] code") == [
        "weather(city='Lisbon', month='April')",
        "calculator(expression='12 * (30 + 5)')",
    ]
    assert page.texts(".steps samp")[1] == "12 * (30 + 5) = 420"
    shown = page.texts("#conversation li, #conversation p, #conversation small")
    page.open()
    wait_until(lambda: page.answers() == [answer], DEADLINE, "the conversation")
    assert page.texts("#conversation li, #conversation p, #conversation small") == shown


def test_what_is_asked_is_text(page: AgentPage) -> None:
    """Markup in a question, and in an answer that tells of it, is shown as it was written."""
    page.answer("search for <b>tea</b>")
    assert page.texts(".you p") == ["search for <b>tea</b>"]
    assert page.texts("#conversation b") == []


def test_the_stop_button_stops(page: AgentPage) -> None:
    """What was said stays, and the button waits for the next answer."""
    page.ask(LONG)
    page.wait_for_words(3)
    page.click("#stop")
    stopped = page.next_answer()
    assert WHOLE.startswith(stopped)
    assert page.run("return document.querySelector('#stop').disabled")
    assert "1 + 1 = 2" in page.answer("1 + 1")


def test_a_new_conversation_is_empty(page: AgentPage) -> None:
    """The button ends the conversation, and the next question is answered in the new one."""
    page.answer("1 + 1")
    page.click("#new")
    wait_until(lambda: not page.texts("#conversation li"), DEADLINE, "an empty conversation")
    assert "2 + 2 = 4" in page.answer("2 + 2")
    assert len(page.answers()) == 1


@pytest.mark.parametrize("file", ["prompts.py", "tools/tool.py", "journal.py"])
def test_an_answer_streams_through_saves(slow_page: AgentPage, file: str) -> None:
    """Leaf or base module, several times within one answer: it is not cut, nothing is opened anew, new code is next."""
    page, path = slow_page, slow_page.server.directory / "agent" / file
    first = code = page.text("#code")
    page.ask(LONG)
    for number in range(1, 4):
        page.wait_for_words(10 * number)
        page.server.write(f"agent/{file}", path.read_text() + f"\n# saved {number} times\n")
        code = page.wait_for_code(code)
    assert page.next_answer() == WHOLE
    assert page.text(".agent small") == f"code {first}"
    assert "1 + 1 = 2" in page.answer("1 + 1")
    assert page.text(".agent:last-child small") == f"code {code}"
    assert (page.text("#connection"), page.text("#opened")) == ("no. 1", ONCE)
    assert page.states() == ["open"]


def test_new_code_hears_the_stop_button_during_an_old_answer(slow_page: AgentPage) -> None:
    """The connection is with the new code while the old one still answers, and that can be stopped."""
    page = slow_page
    page.ask(LONG)
    page.wait_for_words(3)
    before = page.text("#code")
    page.server.edit("agent/prompts.py", 'OPENING = "I', 'OPENING = "New: I')
    page.wait_for_code(before)
    page.click("#stop")
    assert len(page.next_answer()) < len(WHOLE)
    assert page.answer("1 + 1").startswith("New: I looked")
    assert (page.text("#connection"), page.text("#opened")) == ("no. 1", ONCE)


def test_a_question_during_an_old_answer_is_for_the_new_code(slow_page: AgentPage) -> None:
    """It waits for the old answer, which is complete, and is answered by the code of the save before it."""
    page = slow_page
    code = page.text("#code")
    page.ask(LONG)
    page.wait_for_words(3)
    page.server.edit("agent/prompts.py", 'OPENING = "I', 'OPENING = "New: I')
    page.wait_for_code(code)
    page.ask("1 + 1")
    assert page.next_answer() == WHOLE
    assert page.next_answer(1).startswith("New: I looked")
    assert page.text("#opened") == ONCE


def test_a_process_reloader_costs_no_longer_than_its_restart(tmp_path: Path) -> None:
    """Under `uvicorn --reload` the answer goes on in the new process, and the socket is back with it."""
    with serve(uvicorn_reload("agent.main:app"), tmp_path, "0.05") as page:
        code = page.text("#code")
        page.ask(LONG)
        page.wait_for_words(10)
        page.server.edit("agent/prompts.py", 'OPENING = "I', 'OPENING = "New: I')
        assert page.wait_for_code(code)
        page.wait_for("#connection[data-state=open]", "no. 2")
        assert page.next_answer() == WHOLE
        assert page.states() == ["open", "connecting", "open"]  # it never gave up hope, nor paused for long
        assert page.text("#opened") == "socket 2 times, stream 2 times"
        assert page.answer("1 + 1").startswith("New: I looked")
        assert len(page.texts(".you")) == 2


def test_a_question_asked_during_a_restart_is_answered_once(tmp_path: Path) -> None:
    """What was written while no process listened is sent when one does, and shown as waiting until then."""
    with serve(uvicorn_reload("agent.main:app"), tmp_path, "0.02") as page:
        page.answer("1 + 1")
        page.server.edit("agent/prompts.py", 'OPENING = "I', "OPENING = (")  # no process comes up
        page.wait_for("#connection:not([data-state=open])")
        page.ask("2 + 2")
        assert page.texts(".you.waiting p") == ["2 + 2"]
        page.server.edit("agent/prompts.py", "OPENING = (", 'OPENING = "New: I')
        assert page.next_answer(1).startswith("New: I looked")
        assert page.texts(".you p") == ["1 + 1", "2 + 2"]
        page.open()
        wait_until(lambda: len(page.answers()) == 2, DEADLINE, "both answers")
        assert page.texts(".you:not(.waiting) p") == ["1 + 1", "2 + 2"]
