"""Jobs that a render service loses no more (scenario B): the jobs example, killed and started again."""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from examples.jobs.scenes import HEIGHT, WIDTH, png
from tests.e2e.listener import Event, Listener
from tests.e2e.servers import ROOT, Server, copy_project, hotsession_run, uvicorn, uvicorn_reload, wait_until

pytestmark = pytest.mark.e2e

FAST, SLOW = "0.001", "600"  # seconds of rest after each strip: done at once, or never within a test
COMMANDS = {
    "hotsession run": hotsession_run("jobs/main.py"),
    "uvicorn": uvicorn("jobs.main:app"),
    "uvicorn --reload": uvicorn_reload("jobs.main:app"),
}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    copy_project(ROOT / "examples" / "jobs", tmp_path / "project" / "jobs")
    return tmp_path / "project"


class Service:
    """The render service in a directory, which may be killed and started again."""

    def __init__(self, project: Path, command: str = "uvicorn") -> None:
        self.project = project
        self.data = project.parent / "data"
        self.command = COMMANDS[command]

    @contextlib.contextmanager
    def run(self, pace: str = FAST) -> Iterator[Server]:
        env = {"JOBS_DIR": str(self.data), "JOBS_PACE": pace}
        with Server(self.command, self.project, env=env) as server:
            yield server

    @contextlib.contextmanager
    def run_until_killed(self, pace: str = SLOW) -> Iterator[Server]:
        """As `run`; the end of the block is a kill -9."""
        with contextlib.suppress(Killed), self.run(pace) as server:
            yield server
            server.kill()
            raise Killed

    def state(self, job_id: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.data / job_id / "session_state.json").read_text())
        return found


class Killed(Exception):
    """The server was killed, so nobody is to stop it."""


def submit(server: Server, prompt: str) -> str:
    answer = server.post("/api/jobs", json={"prompt": prompt})
    assert answer.status_code == 201, answer.text
    job_id: str = answer.json()["id"]
    return job_id


def job(server: Server, job_id: str) -> dict[str, Any]:
    found: dict[str, Any] = server.get(f"/api/session/{job_id}").json()
    return found


def jobs(server: Server, query: str = "") -> dict[str, dict[str, Any]]:
    """The jobs of a listing, by their prompts."""
    listed = server.get(f"/api/sessions{query}").raise_for_status().json()
    return {each["data"]["prompt"]: each for each in listed["sessions"]}


def wait_for(server: Server, job_id: str, **fields: Any) -> dict[str, Any]:
    wait_until(lambda: fields.items() <= job(server, job_id).items(), what=f"{fields} of {job(server, job_id)}")
    return job(server, job_id)


@pytest.mark.parametrize("command", COMMANDS)
def test_nothing_is_lost_when_the_server_is_killed(project: Path, command: str) -> None:
    """After a kill -9 and a start all jobs are listed; the one that was under way is run again and completes."""
    service = Service(project, command)
    with service.run() as server:
        done = submit(server, "done")
        wait_for(server, done, status="completed", attempt=1)
        failed = submit(server, "something impossible")
        wait_for(server, failed, status="failed")
    with service.run_until_killed() as server:
        running = submit(server, "under way")
        wait_until(lambda: (service.data / running / "picture.part").exists(), what="work on it")
    with service.run() as server:
        again = wait_for(server, running, status="completed")
        assert again["attempt"] == 2
        assert again["result"] == {"picture": "picture.png"}
        listed = jobs(server)
        assert {prompt: (each["id"], each["status"]) for prompt, each in listed.items()} == {
            "done": (done, "completed"),
            "something impossible": (failed, "failed"),
            "under way": (running, "completed"),
        }
        assert listed["done"]["attempt"] == 1
        assert server.log.count("interrupted session") == 1
        assert server.get(f"/api/jobs/{running}/picture").content.startswith(b"\x89PNG")


def test_the_second_attempt_goes_on_where_the_first_was_killed(project: Path) -> None:
    """What is on disk is not rendered again, and the picture is the same as if nobody had been killed."""
    service = Service(project)
    with service.run_until_killed("0.05") as server:
        killed = submit(server, "same words")
        wait_until(lambda: job(server, killed)["data"]["progress"] > 15, what="some progress")
    with service.run() as server:
        assert wait_for(server, killed, status="completed")["data"]["resumed_at"] >= 15
        whole = submit(server, "same words")
        wait_for(server, whole, status="completed", attempt=1)
        pictures = [server.get(f"/api/jobs/{job_id}/picture").content for job_id in (killed, whole)]
        assert pictures[0] == pictures[1]


def test_a_job_that_was_submitted_and_never_begun_is_begun(project: Path) -> None:
    """Killed between the job and its work, the server begins the work when it starts, as a first attempt."""
    service = Service(project)
    with service.run_until_killed() as server:
        job_id = submit(server, "just submitted")
        wait_until(lambda: (service.data / job_id / "picture.part").exists(), what="work on it")
    leave_none(service.data / job_id)
    state = service.state(job_id)
    state["hotsession"] |= {"version": 1, "worker": None}
    (service.data / job_id / "session_state.json").write_text(json.dumps({**state, "progress": 0}))
    with service.run() as server:
        assert wait_for(server, job_id, status="completed")["attempt"] == 1


def test_every_state_is_on_disk_before_it_is_announced(project: Path) -> None:
    """Whatever a listener hears of a job stands in its state file by then."""
    service = Service(project)
    on_disk: list[tuple[dict[str, Any], dict[str, Any]]] = []

    def look(event: Event) -> None:
        if event.name == "session":
            on_disk.append((event.data, service.state(event.data["id"])))

    with service.run("0.02") as server, Listener(f"{server.url}/api/sessions/events", heard=look) as listener:
        listener.wait_for("ready")
        submit(server, "told")
        listener.wait_for("session", status="completed")
    assert len(on_disk) > 3
    for told, state in on_disk:
        assert state["hotsession"]["version"] >= told["version"]
        assert state["progress"] >= told["data"]["progress"]
    assert on_disk[-1][1]["status"] == "completed"
    assert on_disk[-1][1].keys() >= {"id", "status", "prompt", "created_at", "completed_at", "result"}


def test_a_page_that_comes_back_hears_what_completed_meanwhile(project: Path) -> None:
    """A stream that is resumed with the last event's id after a kill tells what became of the job since."""
    service = Service(project)
    with service.run_until_killed() as server, Listener(f"{server.url}/api/sessions/events") as listener:
        job_id = submit(server, "meanwhile")
        last = listener.wait_for("session", id=job_id).id
    with service.run() as server:
        wait_for(server, job_id, status="completed")
        with Listener(f"{server.url}/api/sessions/events", last) as listener:
            assert listener.wait_for("session", id=job_id, status="completed").data["attempt"] == 2
            assert "resync" not in {each.name for each in listener.events}


def test_the_listing_can_be_narrowed(project: Path) -> None:
    """`status`, `key` and `limit` narrow the listing, `total` counts what there is, and nonsense is refused."""
    with Service(project).run() as server:
        ids = [submit(server, f"picture {number}") for number in range(3)]
        ids.append(server.post("/api/jobs", json={"prompt": "wished for", "key": "wish"}).json()["id"])
        submit(server, "impossible")
        wait_until(lambda: len(jobs(server, "?status=completed")) == 4, what="all pictures")
        assert list(jobs(server, "?status=failed")) == ["impossible"]
        assert list(jobs(server, "?key=wish")) == ["wished for"]
        limited = server.get("/api/sessions?status=completed&limit=2").json()
        assert [each["id"] for each in limited["sessions"]] == ids[:1:-1]
        assert limited["total"] == 4
        assert server.get("/api/sessions?status=stuck").status_code == 400
        assert server.get("/api/sessions?limit=-1").status_code == 400
        assert server.get("/api/session/nobody").json()["code"] == "session_not_found"
        assert job(server, ids[0]).keys() >= {"id", "status", "created_at", "completed_at", "result"}


def test_a_wish_that_is_sent_twice_makes_one_job(project: Path) -> None:
    """While a job is under way, its key leads to it: a double click renders once."""
    with Service(project).run_until_killed() as server:
        first, second = (server.post("/api/jobs", json={"prompt": "once", "key": "click"}).json() for _ in range(2))
        assert first["id"] == second["id"]
        assert second["reused"]


def test_a_job_that_is_cancelled_stays_so(project: Path) -> None:
    """What is ended while it is rendered is not completed, and not begun again after a kill."""
    service = Service(project)
    with service.run_until_killed("0.05") as server:
        job_id = submit(server, "never mind")
        answer = server.post(f"/api/sessions/{job_id}/end", json={"reason": "cancelled"})
        assert answer.json()["status"] == "ended"
    with service.run() as server:
        later = submit(server, "later")
        wait_for(server, later, status="completed")
        assert (job(server, job_id)["status"], job(server, job_id)["attempt"]) == ("ended", 1)


# a state file and artefacts, in all combinations

Change = Callable[[Path], None]


def nothing(directory: Path) -> None:
    """As it was when the server was killed."""


def remove(directory: Path) -> None:
    (directory / "session_state.json").unlink()


def corrupt(directory: Path) -> None:
    state = directory / "session_state.json"
    state.write_text(state.read_text()[: len(state.read_text()) // 3])


def leave_none(directory: Path) -> None:
    for path in directory.glob("[!s]*"):
        path.unlink()
    (directory / "sketch.png").unlink()


def leave_the_sketch(directory: Path) -> None:
    (directory / "picture.part").unlink(missing_ok=True)


def finish(directory: Path) -> None:
    (directory / "picture.png").write_bytes(png(WIDTH, HEIGHT, bytes(3 * WIDTH * HEIGHT)))
    (directory / "caption.txt").write_text("finished by somebody else\n")


STATES: dict[str, Change] = {"present": nothing, "missing": remove, "corrupt": corrupt}
ARTEFACTS: dict[str, Change] = {"none": leave_none, "the sketch": leave_the_sketch, "all": finish}
EXPECTED = {  # status, recovered_from_disk
    ("present", "none"): ("active", False),  # run again
    ("present", "the sketch"): ("active", False),
    ("present", "all"): ("completed", True),
    ("missing", "none"): None,  # nothing is left of it
    ("missing", "the sketch"): ("active", True),
    ("missing", "all"): ("completed", True),
    ("corrupt", "none"): ("failed", True),
    ("corrupt", "the sketch"): ("active", True),
    ("corrupt", "all"): ("completed", True),
}


def test_every_combination_of_state_and_artefacts_is_repaired(project: Path) -> None:
    """Present, missing and corrupt states with none, some and all artefacts come to what the files say."""
    service = Service(project)
    with service.run_until_killed() as server:
        ids = {case: submit(server, " ".join(case)) for case in EXPECTED}
        wait_until(
            lambda: all((service.data / job_id / "picture.part").exists() for job_id in ids.values()),
            what="work on all",
        )
    for (state, artefacts), job_id in ids.items():
        ARTEFACTS[artefacts](service.data / job_id)
        STATES[state](service.data / job_id)

    with service.run(SLOW) as server:

        def repaired() -> dict[tuple[str, str], tuple[str, bool] | None]:
            answers = {case: job(server, job_id) for case, job_id in ids.items()}
            return {
                case: (answer["status"], answer["recovered_from_disk"]) if "recovered_from_disk" in answer else None
                for case, answer in answers.items()
            }

        with contextlib.suppress(AssertionError):
            wait_until(lambda: repaired() == EXPECTED, what="all to be repaired")
        assert repaired() == EXPECTED
        listed = {each["id"] for each in server.get("/api/sessions").json()["sessions"]}
        assert listed == {job_id for case, job_id in ids.items() if EXPECTED[case]}
        assert job(server, ids["present", "the sketch"])["attempt"] == 2
        assert job(server, ids["present", "all"])["data"]["prompt"] == "present all"
        kept = [path.name for path in (service.data / ids["corrupt", "all"]).glob("*corrupt*")]
        assert kept == ["session_state.corrupt-1.json"]


def test_what_was_in_progress_for_too_long_has_failed(project: Path) -> None:
    """In progress for more than half an hour is stuck: failed, by its state file or, without one, by its files."""
    service = Service(project)
    long_ago = time.time() - 31 * 60
    with service.run_until_killed() as server:
        stuck, lost, fresh = (submit(server, each) for each in ("stuck", "lost", "fresh"))
        every = [service.data / job_id for job_id in (stuck, lost, fresh)]
        wait_until(lambda: all((each / "picture.part").exists() for each in every), what="work on all")
    state = service.state(stuck)
    state["updated_at"] = (datetime.now(UTC) - timedelta(minutes=31)).isoformat().replace("+00:00", "Z")
    (service.data / stuck / "session_state.json").write_text(json.dumps(state))
    (service.data / lost / "session_state.json").unlink()
    os.utime(service.data / lost / "sketch.png", (long_ago, long_ago))
    with service.run() as server:
        assert wait_for(server, lost, status="failed")["recovered_from_disk"]
        assert "stuck" in wait_for(server, stuck, status="failed")["reason"]
        wait_for(server, fresh, status="completed")
