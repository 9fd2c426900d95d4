"""Previews that are stopped and started again (scenario D): the preview example over real HTTP."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.servers import ROOT, Server, copy_project, hotsession_run, uvicorn, uvicorn_reload, wait_until

pytestmark = pytest.mark.e2e

COMMANDS = {
    "hotsession run": hotsession_run("preview/main.py"),
    "uvicorn --reload": uvicorn_reload("preview.main:app"),
}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    copy_project(ROOT / "examples" / "preview", tmp_path / "project" / "preview")
    return tmp_path / "project"


def serve(project: Path, command: tuple[str, ...] = COMMANDS["hotsession run"], **env: str) -> Server:
    return Server(command, project, env={"PREVIEW_DB": str(project.parent / "preview.db"), **env})


@pytest.fixture
def server(project: Path) -> Iterator[Server]:
    with serve(project) as server:
        yield server


def start(server: Server, key: str = "Bakery", *, fresh: bool = False) -> dict[str, Any]:
    answer = server.post("/api/sessions", json={"key": key, "force_new": fresh})
    assert answer.status_code in (200, 201), answer.text
    preview: dict[str, Any] = answer.json()
    assert preview["status"] == "active"
    return preview


def count(server: Server, preview: dict[str, Any], times: int = 1) -> int:
    for _ in range(times):
        answer = server.post(f"/api/preview/{preview['id']}/count").raise_for_status().json()
    counter: int = answer["counter"]
    return counter


def change(server: Server, preview: dict[str, Any], how: str) -> dict[str, Any]:
    changed: dict[str, Any] = server.post(f"/api/sessions/{preview['id']}/{how}").raise_for_status().json()
    return changed


def get(server: Server, preview: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = server.get(f"/api/session/{preview['id']}").json()
    return found


def test_a_preview_goes_on_where_it_was_stopped(server: Server) -> None:
    """Counted to two, stopped and started: the same session, the counter at two, its container frozen meanwhile."""
    preview = start(server)
    assert count(server, preview, 2) == 2
    assert change(server, preview, "pause")["status"] == "paused"
    assert get(server, preview)["data"]["container"] == "frozen"
    again = start(server)
    assert (again["id"], again["reused"], again["data"]["counter"]) == (preview["id"], True, 2)
    assert get(server, preview)["data"]["container"] == "running"
    assert count(server, again) == 3


def test_start_fresh_ends_the_old_one(server: Server) -> None:
    """A fresh start has its counter at zero; the old preview is ended, refuses to count and names the one there is."""
    old = start(server)
    count(server, old, 2)
    new = start(server, fresh=True)
    assert new["id"] != old["id"]
    assert new["data"]["counter"] == 0
    over = get(server, old)
    assert (over["status"], over["reason"], over["data"]["counter"]) == ("ended", "replaced", 2)
    refused = server.post(f"/api/preview/{old['id']}/count")
    assert refused.status_code == 409
    assert refused.json()["code"] == "invalid_transition"
    assert refused.json()["alternatives"] == [new["id"]]


def test_the_link_of_a_preview_that_is_over_says_so(server: Server) -> None:
    """It is answered with 410, the state, and a link to the preview that runs; an unknown one with 404."""
    old = start(server)
    assert "<h1>Bakery</h1>" in server.get(f"/preview/{old['id']}").text
    new = start(server, fresh=True)
    answer = server.get(f"/preview/{old['id']}")
    assert answer.status_code == 410
    assert "is ended" in answer.text
    assert f'href="{new["id"]}"' in answer.text
    assert server.get("/preview/unknown").status_code == 404


def test_each_project_has_its_own(server: Server) -> None:
    """Several previews at once know nothing of each other; each is found by its key."""
    previews = {key: start(server, key) for key in ("Bakery", "Harbour", "Museum")}
    for times, preview in enumerate(previews.values(), 1):
        count(server, preview, times)
    change(server, previews["Harbour"], "pause")
    assert {key: start(server, key)["data"]["counter"] for key in previews} == {"Bakery": 1, "Harbour": 2, "Museum": 3}
    listed = server.get("/api/sessions?key=Harbour").json()
    assert [each["id"] for each in listed["sessions"]] == [previews["Harbour"]["id"]]


def test_three_who_ask_at_once_get_one(server: Server) -> None:
    """An editor, a generator and a button get the same preview; one of them made it, and it was built once."""
    answers = server.post("/api/projects/Museum/open").json()
    assert len({each["id"] for each in answers}) == 1
    assert [each["reused"] for each in answers].count(False) == 1
    assert server.get("/api/sessions").json()["total"] == 1


@pytest.mark.parametrize("command", COMMANDS)
def test_a_save_between_stop_and_start_changes_nothing(project: Path, command: str) -> None:
    """After a save the new code starts the preview that the old code stopped, and its hooks are called once."""
    with serve(project, COMMANDS[command]) as server:
        preview = start(server)
        count(server, preview, 2)
        change(server, preview, "pause")
        server.edit("preview/managers.py", 'preview.data["container"] = "running"', 'preview.data["thawed"] = "anew"')
        since = len(server.log)
        wait_until(
            lambda: "Reloaded" in server.log[since:] or server.log[since:].count("startup complete"), 20, "a save"
        )
        again = wait_until(lambda: start(server), 20, "an answer")
        assert (again["id"], again["data"]["counter"]) == (preview["id"], 2)
        assert get(server, preview)["data"]["thawed"] == "anew"


@pytest.mark.parametrize("stopped", [True, False])
def test_a_crash_in_between_loses_nothing(project: Path, stopped: bool) -> None:
    """Killed with -9 and started again, the preview is there in the state that it had, with its counter."""
    command = uvicorn("preview.main:app")
    with contextlib.suppress(InterruptedError), serve(project, command) as server:
        preview = start(server)
        count(server, preview, 2)
        if stopped:
            change(server, preview, "pause")
        server.kill()
        raise InterruptedError  # it was killed, so nobody is to stop it
    with serve(project, command) as server:
        assert get(server, preview)["status"] == ("paused" if stopped else "active")
        again = start(server)
        assert (again["id"], again["data"]["counter"]) == (preview["id"], 2)


def test_idle_previews_expire_and_are_told_of_for_a_while(project: Path) -> None:
    """Idle past the timeout a preview is expired, refuses to count, and says so until the grace period is over."""
    with serve(project, PREVIEW_IDLE="2", PREVIEW_GRACE="6") as server:
        preview = start(server)
        count(server, preview)
        wait_until(lambda: get(server, preview).get("code") == "session_expired", what="its expiry")
        refused = server.post(f"/api/preview/{preview['id']}/count")
        assert (refused.status_code, refused.json()["code"]) == (410, "session_expired")
        link = server.get(f"/preview/{preview['id']}")
        assert link.status_code == 410
        assert "expired" in link.text
        assert [each["status"] for each in server.get("/api/sessions").json()["sessions"]] == ["expired"]
        again = start(server)
        assert (again["reused"], again["data"]["counter"]) == (False, 0)
        wait_until(lambda: get(server, preview).get("code") == "session_not_found", what="the end of the grace period")


def test_the_figures_are_what_was_done(server: Server) -> None:
    """Reuse, fresh starts, resumptions and creations are counted as they were done."""
    first = start(server)  # created
    start(server)  # reused
    change(server, first, "pause")
    start(server)  # resumed, and reused
    start(server, fresh=True)  # created, and the first one replaced
    start(server, "Museum")  # created
    change(server, start(server, "Museum"), "end")  # reused, ended
    figures = server.get("/api/sessions/metrics").json()
    told = ("created", "reused", "paused", "resumed", "replaced", "ended", "live")
    assert {name: figures[name] for name in told} == {
        "created": 3, "reused": 3, "paused": 1, "resumed": 1, "replaced": 1, "ended": 1, "live": 1,
    }  # fmt: skip
    assert figures["reuse_rate"] == 0.5
    assert figures["fresh_rate"] == 0.25
    assert figures["recovery_rate"] == 1.0
    assert figures["mean_lifetime"] > 0
    assert sum(number for _, number in figures["creations"]) == 3


def test_the_log_tells_created_from_reused(server: Server) -> None:
    """One line each for created, paused, resumed and ended, with a shortened id and the key."""
    preview = start(server)
    change(server, preview, "pause")
    start(server)
    change(server, preview, "end")
    for what in ("created", "paused", "resumed", "ended"):
        server.wait_for_line(rf"^INFO: +{what} session {preview['id'][:8]} of 'Bakery'")
