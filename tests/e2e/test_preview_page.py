"""The page of the preview example in a real browser: start, stop, continue, start fresh, and a chat with the bot."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By

from tests.e2e.browser import browser, needs_browser
from tests.e2e.page import Page
from tests.e2e.servers import ROOT, Server, copy_project, hotsession_run, uvicorn_reload, wait_until

pytestmark = [pytest.mark.e2e, needs_browser]


class Workbench(Page):
    """The page of the previews."""

    def open(self) -> None:
        super().open()
        self.wait_for("#connection", "live")
        self.wait_for("#projects [aria-pressed=true]")

    def counter(self) -> str:
        """What the preview in the frame shows, empty while there is none."""
        script = (
            "return document.querySelector('#frame')?.contentDocument?.querySelector('#counter')?.textContent ?? ''"
        )
        return str(self.run(script))

    def wait_for_counter(self, counter: int) -> None:
        wait_until(lambda: self.counter() == str(counter), what=f"the counter at {counter}")

    def count_to(self, counter: int) -> None:
        """Press the button in the frame until the counter is there."""
        self.driver.switch_to.frame(self.driver.find_element(By.ID, "frame"))
        for _ in range(counter):
            self.click("#count")
        self.driver.switch_to.default_content()
        self.wait_for_counter(counter)

    def rows(self) -> list[str]:
        """The states in the table, newest first."""
        return self.texts("#sessions td:nth-child(3)")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    copy_project(ROOT / "examples" / "preview", tmp_path / "project" / "preview")
    return tmp_path / "project"


@pytest.fixture
def server(project: Path) -> Iterator[Server]:
    with serve(project, hotsession_run("preview/main.py")) as server:
        yield server


def serve(project: Path, command: tuple[str, ...], **env: str) -> Server:
    return Server(command, project, env={"PREVIEW_DB": str(project.parent / "preview.db"), **env})


@pytest.fixture
def driver(tmp_path: Path) -> Iterator[Chrome]:
    with browser(tmp_path / "profile") as driver:
        yield driver


@pytest.fixture
def page(server: Server, driver: Chrome) -> Workbench:
    return Workbench(driver, server.url)


def test_a_stopped_preview_goes_on_where_it_was(page: Workbench) -> None:
    """Counted to two, stopped and started, the counter is at two, in the same session; fresh it is at zero."""
    page.click("#start")
    page.wait_for_counter(0)
    page.count_to(2)
    page.click("#stop")
    page.wait_for("#state", "Paused")
    page.wait_for("#resting", "Nothing runs")
    page.click("#start")
    page.wait_for_counter(2)
    assert len(page.rows()) == 1
    page.click("#fresh")
    page.wait_for_counter(0)
    wait_until(lambda: page.rows() == ["active", "ended (replaced)"], what="both in the table")
    page.wait_for("#figures dd", "50 %")


def test_who_comes_back_is_offered_to_continue(page: Workbench) -> None:
    """Loaded anew, the page says what there is, in which state and how old, and continues it on a click."""
    page.click("#start")
    page.wait_for_counter(0)
    page.count_to(2)
    page.click("#stop")
    page.wait_for("#state", "Paused")
    page.open()
    page.wait_for("#offer p", "Paused just now, begun just now. Its counter is at 2.")
    page.click("[data-choice=continue]")
    page.wait_for_counter(2)
    assert page.texts("#offer *") == []


def test_who_comes_back_may_start_fresh(page: Workbench) -> None:
    """The other button of the offer ends what there was."""
    page.click("#start")
    page.wait_for_counter(0)
    page.count_to(1)
    page.open()
    page.wait_for("#offer p", "Active, last used just now")
    page.click("[data-choice=fresh]")
    page.wait_for_counter(0)
    wait_until(lambda: page.rows() == ["active", "ended (replaced)"], what="both in the table")


def test_who_prefers_it_continues_without_a_question(page: Workbench) -> None:
    """With the preference set in the offer, the next visit goes on at once; without it the question is back."""
    page.click("#start")
    page.wait_for_counter(0)
    page.count_to(1)
    page.open()
    page.click("#offer input")
    page.click("[data-choice=continue]")
    page.wait_for_counter(1)
    page.open()
    page.wait_for_counter(1)
    page.click("#always")
    page.open()
    page.wait_for("#offer p", "Its counter is at 1.")


def test_three_at_once_get_one(page: Workbench) -> None:
    """The three who ask are told one session, which one of them created."""
    page.click("#three")
    page.wait_for_counter(0)
    told = page.texts("#callers li")
    assert len(told) == 3
    assert len({line.split(" got ")[1][:8] for line in told}) == 1
    assert sum(line.endswith("created.") for line in told) == 1


def test_what_another_tab_does_is_seen(page: Workbench) -> None:
    """A preview that is ended elsewhere disappears from the page, and its link says that it is over."""
    page.click("#start")
    page.wait_for_counter(0)
    ended = page.run("return document.querySelector('#sessions tr').dataset.id")
    with Workbenches(page) as other:
        other.click("[data-choice=fresh]")
        other.wait_for_counter(0)
    page.wait_for("#sessions tr[data-status=ended]")
    page.wait_for("#resting", "Nothing runs")
    page.driver.get(f"{page.url}/preview/{ended}")
    assert "is ended: replaced" in page.text("main")
    page.click("main a")
    page.wait_for("#counter", "0")


class Workbenches:
    """Another tab on the page of the first, for a while."""

    def __init__(self, page: Workbench) -> None:
        self.page = page
        self.first = page.driver.current_window_handle

    def __enter__(self) -> Workbench:
        self.page.driver.switch_to.new_window("tab")
        return Workbench(self.page.driver, self.page.url)

    def __exit__(self, *error: object) -> None:
        self.page.driver.close()
        self.page.driver.switch_to.window(self.first)


def test_bonjour_view_sites_and_a_project(page: Workbench, server: Server) -> None:
    """A line, a click and a click show the tasks of a project, from one session, with a save in between."""
    page.write("#text", "Bonjour")
    page.click("#form button")
    page.wait_for("#messages .bot", "Bonjour Ada!")
    since = len(server.log)
    server.edit("preview/bot.py", "These are your sites.", "Here they are.")
    server.wait_for_line("Reloaded", since=since)
    page.run(
        "[...document.querySelectorAll('#choices button')].find(each => each.textContent === 'View Sites').click()"
    )
    page.wait_for("#messages .bot", "Here they are.")
    page.run("[...document.querySelectorAll('#choices button')].find(each => each.textContent === 'Museum').click()")
    page.wait_for("#messages .bot li", "Audio guide in French")
    assert "All answers are from one session." in page.text("#chat")


def test_the_page_comes_back_under_a_process_reloader(project: Path, driver: Chrome) -> None:
    """Under `uvicorn --reload` a save starts a new process; the page is live again and the preview goes on."""
    with serve(project, uvicorn_reload("preview.main:app")) as server:
        page = Workbench(driver, server.url)
        page.click("#start")
        page.wait_for_counter(0)
        since = len(server.log)
        server.edit("preview/bot.py", "De rien.", "Avec plaisir.")
        server.wait_for_line("Application startup complete", since=since)
        page.wait_for("#connection", "live")
        page.count_to(2)
        page.click("#stop")
        page.wait_for("#state", "Paused")
        page.click("#start")
        page.wait_for_counter(2)
