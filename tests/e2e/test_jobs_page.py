"""The page of the render jobs in a real browser: what somebody sees whose server is killed while it renders."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium.webdriver import Chrome
from selenium.webdriver.common.keys import Keys

from tests.e2e.browser import browser, needs_browser
from tests.e2e.page import Page
from tests.e2e.servers import ROOT, Server, copy_project, free_port, hotsession_run, uvicorn_reload

pytestmark = [pytest.mark.e2e, needs_browser]


class JobsPage(Page):
    """The page of the jobs."""

    def ask_for(self, prompt: str) -> None:
        self.write("#prompt", prompt + Keys.ENTER)

    def wait_for_job(self, status: str, text: str = "") -> str:
        return self.wait_for(f"#jobs [data-status={status}]", text)

    def pictures(self) -> list[int]:
        """The widths of the pictures that are shown, in their own pixels."""
        return list(self.run("return [...document.querySelectorAll('#jobs img')].map(each => each.naturalWidth)"))


@pytest.fixture
def project(tmp_path: Path) -> Path:
    copy_project(ROOT / "examples" / "jobs", tmp_path / "project" / "jobs")
    return tmp_path / "project"


def serve(project: Path, pace: str = "0.01", port: int | None = None, *, reload: bool = False) -> Server:
    command = uvicorn_reload("jobs.main:app") if reload else hotsession_run("jobs/main.py")
    env = {"JOBS_DIR": str(project.parent / "data"), "JOBS_PACE": pace}
    return Server(command, project, port=port, env=env)


@pytest.fixture
def driver(tmp_path: Path) -> Iterator[Chrome]:
    with browser(tmp_path / "profile") as driver:
        yield driver


def test_a_job_is_shown_until_it_is_done(project: Path, driver: Chrome) -> None:
    """A prompt becomes a job with a sketch and progress, and then a picture; loaded anew, the page shows it as well."""
    with serve(project, "0.1") as server:
        page = JobsPage(driver, server.url)
        page.wait_for("#connection", "live")
        page.ask_for("Two cats on a <b>roof</b>")
        page.wait_for_job("active", "Two cats on a <b>roof</b>")
        page.wait_for("#jobs .status", "%")
        page.wait_for_job("completed")
        page.wait_for("#jobs img:not([hidden])")
        page.open()
        page.wait_for_job("completed", "Two cats on a <b>roof</b>")
        page.wait_for("#summary", "1 jobs, 0 in progress")


def test_a_job_goes_on_after_the_server_was_killed(project: Path, driver: Chrome) -> None:
    """The page says that nobody answers, comes back by itself, and shows the job's second attempt and its end."""
    port = free_port()
    with contextlib.suppress(InterruptedError), serve(project, "30", port) as server:
        page = JobsPage(driver, server.url)
        page.ask_for("Harbour at dawn")
        page.wait_for_job("active")
        server.kill()
        page.wait_for("#connection", "nobody answers")
        raise InterruptedError  # it was killed, so nobody is to stop it
    with serve(project, "0.01", port):
        page.wait_for("#connection", "live")
        assert "attempt 2" in page.wait_for_job("completed", "Harbour at dawn")


def test_the_page_asks_where_no_event_stream_comes_through(project: Path, driver: Chrome) -> None:
    """Behind a proxy that lets no event stream through, the page asks every few seconds, and a job completes on it."""
    with serve(project) as server:
        page = JobsPage(driver, server.url)
        page.block("*/events*")
        page.open()
        page.wait_for("#connection", "asking every few seconds")
        page.ask_for("Bread and olives")
        page.wait_for_job("completed", "Bread and olives")
        page.block()
        page.wait_for("#connection", "live")


def test_a_job_can_be_cancelled_and_rendered_again(project: Path, driver: Chrome) -> None:
    """A cancelled job says so and can be asked for again; one that fails says why."""
    with serve(project, "30") as server:
        page = JobsPage(driver, server.url)
        page.ask_for("Never mind")
        page.wait_for_job("active")
        page.click("#jobs .cancel")
        page.wait_for_job("ended", "cancelled")
        page.click("#jobs .again")
        page.wait_for_job("active", "Never mind")
        page.ask_for("An impossible staircase")
        page.wait_for_job("failed", "Nobody can render")
        page.click("#jobs [data-status=active] .cancel")
        page.wait_for("#summary", "3 jobs, 0 in progress")


def test_a_save_interrupts_a_job_and_the_page_shows_its_end(project: Path, driver: Chrome) -> None:
    """Under `uvicorn --reload` a save starts a new process: the page hears of the second attempt from that one."""
    with serve(project, "0.1", reload=True) as server:
        page = JobsPage(driver, server.url)
        page.ask_for("Night train to Oslo")
        page.wait_for("#jobs .status", "%")
        page.wait_for("#jobs img:not([hidden])")
        path = server.directory / "jobs" / "scenes.py"
        server.write("jobs/scenes.py", path.read_text() + "\n# saved\n")
        assert "attempt 2" in page.wait_for_job("completed", "Night train to Oslo")
