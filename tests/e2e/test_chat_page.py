"""The page of the chat example in a real browser: what somebody sees who edits the planner while chatting with it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.select import Select

from tests.deadlines import DEADLINE
from tests.e2e.browser import browser, needs_browser
from tests.e2e.servers import ROOT, Server, copy_project, hotsession_run, uvicorn_reload, wait_until

pytestmark = [pytest.mark.e2e, needs_browser]


class Page:
    """The chat page as its user sees it."""

    def __init__(self, driver: Chrome, server: Server) -> None:
        self.driver = driver
        self.server = server
        self.open()

    def open(self) -> None:
        self.driver.get(self.server.url)
        self.wait_for_connection()

    def text(self, selector: str) -> str:
        # in one step: an element found first could be replaced before it is read
        found: str = self.driver.execute_script(
            "return document.querySelector(arguments[0])?.textContent ?? ''", selector
        )
        return found

    def texts(self, selector: str) -> list[str]:
        found: list[str] = self.driver.execute_script(
            "return [...document.querySelectorAll(arguments[0])].map(each => each.textContent)", selector
        )
        return found

    def wait_for_connection(self) -> str:
        wait_until(lambda: self.text("#connection[data-state=open]"), DEADLINE, "a connection")
        return self.text("#connection")

    def wait_for_code(self, other_than: str) -> str:
        wait_until(lambda: self.text("#code") not in ("–", other_than), DEADLINE, f"other code than {other_than}")
        return self.text("#code")

    def watch(self) -> None:
        """Note from now on in `window.states` what is shown of the connection, and in `window.changed` since when."""
        self.driver.execute_script("""
            window.states = []
            const note = () => {
                if (states.at(-1) === connection.dataset.state) return
                states.push(connection.dataset.state)
                window.changed = Date.now() / 1000
            }
            note()
            new MutationObserver(note).observe(connection, {attributeFilter: ["data-state"]})""")

    def states(self) -> list[str]:
        found: list[str] = self.driver.execute_script("return window.states")
        return found

    def write(self, text: str) -> None:
        self.driver.find_element(By.ID, "text").send_keys(text, Keys.ENTER)

    def ask(self, text: str) -> str:
        """Send a message and return the answer."""
        answered = len(self.texts("#messages .planner"))
        self.write(text)
        wait_until(lambda: len(self.texts("#messages .planner")) > answered, what=f"an answer to {text!r}")
        return self.texts("#messages .planner p")[-1]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    copy_project(ROOT / "examples" / "chat", tmp_path / "project" / "chat")
    return tmp_path / "project"


@pytest.fixture
def server(project: Path) -> Iterator[Server]:
    with Server(hotsession_run("chat/main.py"), project, env={"CHAT_PACE": "0.01"}) as server:
        yield server


@pytest.fixture
def page(server: Server, tmp_path: Path) -> Iterator[Page]:
    with browser(tmp_path / "profile") as driver:
        yield Page(driver, server)


def test_the_page_chats_on_after_a_save(page: Page) -> None:
    """A save of services.py shows in the next answer; the history is complete, and a line marks the new code."""
    assert page.ask("Five days in Lisbon for two people") == "Sure! 5 days in Lisbon for 2. What may it cost?"
    before = page.text("#code")
    page.server.edit("chat/services.py", 'GREETING = "Sure!"', 'GREETING = "With pleasure!"')
    code = page.wait_for_code(before)
    assert page.text("#messages .change") == f"new code: {code}"
    assert page.ask("900 €").startswith("With pleasure! 5 days in Lisbon for 2, 900 €")
    assert page.texts("#messages li p") == [message["text"] for message in _history(page)]
    assert page.text("#count") == "4"
    assert page.text("#trip") == "5 days in Lisbon for 2, 900 €"


def test_the_page_comes_back_to_its_chat(page: Page) -> None:
    """Loading the page anew shows the chat so far, and the chat goes on."""
    page.ask("Kyoto")
    shown = page.texts("#messages p")
    page.open()
    assert page.texts("#messages p") == shown
    assert page.ask("a week") == "Sure! 7 days in Kyoto. What may it cost?"


def test_another_api_key_and_a_new_chat(page: Page) -> None:
    """The switch has another planner go on with the same chat; the button begins an empty one."""
    page.ask("Two days in Berlin, 500 €")
    Select(page.driver.find_element(By.ID, "key")).select_by_value("demo-grand")
    assert "456 €" in page.ask("How much is it?")
    assert page.text("#service") == "Grand Tours #2, 1 answered"
    page.driver.find_element(By.ID, "new").click()
    wait_until(lambda: not page.texts("#messages li"), what="an empty chat")
    assert page.ask("Rome") == "Sure! Rome it is. For how many days?"


def test_a_message_waits_for_the_fix_of_a_planner_that_fails(page: Page) -> None:
    """A message that the new code fails on is shown as waiting, and answered once when the code is mended."""
    before = page.text("#code")
    page.server.edit("chat/services.py", "        text = self._reply(", "        text = 1 / 0 or self._reply(")
    page.wait_for_code(before)
    page.write("Oslo")
    page.server.wait_for_line("ZeroDivisionError")
    assert page.texts("#messages .waiting p") == ["Oslo"]
    page.server.edit("chat/services.py", "1 / 0 or ", "")
    wait_until(lambda: page.texts("#messages .planner"), what="the answer")
    assert page.texts("#messages li:not(.change) p") == ["Oslo", "Sure! Oslo it is. For how many days?"]
    assert not page.texts("#messages .waiting")


def test_the_page_shows_errors_until_the_next_answer(page: Page) -> None:
    """What the server can't answer is shown as an alert, and goes with the next answer."""
    page.driver.execute_script("document.querySelector('#key').append(new Option('x', 'stolen', true, true))")
    page.write("Paris")
    wait_until(lambda: "no account" in page.text("#error:not([hidden])"), what="the error")
    Select(page.driver.find_element(By.ID, "key")).select_by_value("demo-thrifty")
    page.ask("Paris")
    assert not page.texts("#error:not([hidden])")


def test_what_was_written_is_text(page: Page) -> None:
    """Markup in a message is shown as it was written."""
    page.ask("To <b>Rome</b>")
    assert page.texts("#messages .you p") == ["To <b>Rome</b>"]


@pytest.mark.parametrize("file", ["services.py", "models.py", "routes.py"])
def test_an_answer_streams_through_saves(project: Path, tmp_path: Path, file: str) -> None:
    """Leaf or base module, save after save: no answer is cut, each next one is of new code, nothing is opened anew."""
    path = project / "chat" / file
    with (
        Server(hotsession_run("chat/main.py"), project, env={"CHAT_PACE": "0.06"}) as server,
        browser(tmp_path / "profile") as driver,
    ):
        page = Page(driver, server)
        page.watch()
        code = page.text("#code")
        for number in range(1, 4):
            page.write(f"{number + 1} days in Lisbon, {number}00 €")
            wait_until(lambda: "Lisbon" in page.text("#messages .talking p"), DEADLINE, "the answer to begin")
            server.write(f"chat/{file}", path.read_text() + f"\n# saved {number} times\n")
            code = page.wait_for_code(code)
            assert page.texts("#messages .planner p")[-1].endswith(("day less?", "ice cream."))
            assert len(page.texts("#messages .planner")) == number
        assert len({*page.texts("#messages .planner small")}) == 3
        assert page.states() == ["open"]
        assert (page.text("#connection"), page.text("#opened")) == ("no. 1", "once")


def test_nobody_seems_to_leave_at_a_save(page: Page) -> None:
    """Another tab is counted, through a save as well, until it is closed."""
    page.driver.switch_to.new_window("tab")
    page.open()
    wait_until(lambda: page.text("#here") == "2", DEADLINE, "two pages")
    before = page.text("#code")
    page.server.edit("chat/services.py", 'SIGN_OFF = ""', 'SIGN_OFF = "Bye."')
    page.wait_for_code(before)
    assert page.text("#here") == "2"
    page.driver.close()
    page.driver.switch_to.window(page.driver.window_handles[0])
    wait_until(lambda: page.text("#here") == "1", DEADLINE, "one page")


def test_the_page_comes_back_under_a_process_reloader(project: Path, tmp_path: Path) -> None:
    """Under `uvicorn --reload` it is back as soon as the new process is there, and shows the same chat."""
    with (
        Server(uvicorn_reload("chat.main:app"), project, env={"CHAT_PACE": "0.01"}) as server,
        browser(tmp_path / "profile") as driver,
    ):
        page = Page(driver, server)
        page.ask("Lisbon")
        page.watch()
        shown = page.texts("#messages p")
        before = page.text("#code")
        server.edit("chat/services.py", 'GREETING = "Sure!"', 'GREETING = "Reborn!"')
        wait_until(lambda: server.get("/api/chat").json()["code"] != before, DEADLINE, "the new process")
        there = time.time()
        page.wait_for_code(before)
        assert page.wait_for_connection() == "no. 2"
        assert (
            page.driver.execute_script("return window.changed") - there < 2
        )  # seconds: it waited for the process, and not for itself
        assert page.states() == ["open", "connecting", "open"]
        assert page.texts("#messages p") == shown
        assert page.ask("Porto for 4 days").startswith("Reborn! 4 days in Porto")


def test_a_message_that_was_not_answered_is_sent_again_once(project: Path, tmp_path: Path) -> None:
    """Asked while the process that listens is replaced, it is shown once, and answered once by the new one."""
    with (
        Server(uvicorn_reload("chat.main:app"), project, env={"CHAT_PACE": "0.06"}) as server,
        browser(tmp_path / "profile") as driver,
    ):
        page = Page(driver, server)
        page.ask("Two days in Lisbon")
        page.write("900 €")  # its answer is cut by the end of the process
        wait_until(lambda: page.text("#messages .talking p"), DEADLINE, "the answer to begin")
        server.edit("chat/services.py", 'GREETING = "Sure!"', "GREETING = (")  # no process comes up
        wait_until(lambda: not page.text("#connection[data-state=open]"), DEADLINE, "the end of the connection")
        page.write("4 days rather")
        server.edit("chat/services.py", "GREETING = (", 'GREETING = "Reborn!"')
        wait_until(lambda: len(page.texts("#messages .planner")) == 3, DEADLINE, "all answers")
        assert page.texts("#messages .you:not(.waiting) p") == ["Two days in Lisbon", "900 €", "4 days rather"]
        answers = page.texts("#messages .planner p")
        assert answers[2].startswith("Reborn! 4 days in Lisbon, 900 €")
        said = [message["text"] for message in _history(page)]
        assert said[1::2] == answers


def _history(page: Page) -> list[dict[str, str]]:
    page.server.client.cookies.update({each["name"]: each["value"] for each in page.driver.get_cookies()})
    found: list[dict[str, str]] = page.server.get("/api/chat").json()["messages"]
    return found
