"""An agent that works in the background goes on with new code from the state it kept: no step is lost or done twice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.deadlines import DEADLINE
from tests.e2e.servers import Server, hotsession_run, uvicorn, uvicorn_reload, wait_until, write_project

pytestmark = pytest.mark.e2e

# Each step is noted in a file as it is done. Between the note and the state there is no `await`, so that a step is done
# and remembered, or neither: a task is cancelled where it awaits.
PROJECT = {
    "agent.py": """
        import asyncio
        import os
        import weakref

        import hotsession

        VERSION = "version 0"
        state = hotsession.keep("agent", dict)
        codes = hotsession.keep("codes", weakref.WeakSet, restart="rebuild")


        class Code:
            pass


        code = Code()
        codes.add(code)


        def note(line):
            with open("steps.txt", "a") as file:
                file.write(f"{line} by {VERSION} in {os.getpid()}\\n")


        async def think(step):
            await asyncio.sleep(0.001)
            return step


        async def agent():
            note("begin")
            try:
                while True:
                    step = await think(state.get("step", 0) + 1)
                    note(step)
                    state["step"] = step
                    await asyncio.sleep(0.001)
            finally:
                await asyncio.sleep(0.001)
                note("end")
    """,
    "main.py": """
        import contextlib
        import gc

        import hotsession
        from starlette.applications import Starlette
        from starlette.middleware import Middleware
        from starlette.responses import JSONResponse
        from starlette.routing import Route

        from agent import VERSION, agent, codes, state

        hot = hotsession.module(__name__)


        async def home(request):
            return JSONResponse({"version": VERSION, "step": state.get("step", 0)})


        async def begin(request):
            return JSONResponse(hotsession.task("agent", agent, on_reload="restart").state)


        def code(request):
            gc.collect()
            return JSONResponse(len(codes))


        async def restart(request):
            hot.invalidate("somebody asked for it")
            return JSONResponse(None)


        app = Starlette(
            routes=[Route("/", home), Route("/begin", begin), Route("/code", code), Route("/restart", restart)],
            middleware=[Middleware(hotsession.HotSessionMiddleware)],
        )
        # asked for at import
    """,
}
AT_IMPORT = ("main.py", "# asked for at import", 'hotsession.task("agent", agent, on_reload="restart")')

LIFESPAN = f"""
@contextlib.asynccontextmanager
async def lifespan(app):
    {AT_IMPORT[2]}
    yield

"""


def steps(project: Path) -> list[tuple[str, str, str]]:
    """What the agent noted so far: a number, "begin" or "end"; by which code; in which process."""
    if not (project / "steps.txt").exists():
        return []
    lines = (project / "steps.txt").read_text().splitlines()
    return [(line.split(" by ")[0], *line.split(" by ")[1].split(" in ")) for line in lines]  # type: ignore[misc]


def goes_on(project: Path, version: str) -> None:
    """Wait until the agent has done some steps with the code of a version."""
    wait_until(
        lambda: sum(what.isdigit() and by == version for what, by, _ in steps(project)) >= 5,
        DEADLINE,
        f"five steps of {version}",
    )


def check(project: Path) -> list[tuple[str, str, str]]:
    """No step is missing or there twice, no two runs overlap, and newer code does later ones; return all of it."""
    noted = steps(project)
    done = [int(what) for what, _, _ in noted if what.isdigit()]
    assert done == list(range(1, len(done) + 1))
    marks = [(what, by) for what, by, _ in noted if not what.isdigit()]
    for begin, end in zip(marks[::2], marks[1::2], strict=False):
        assert (begin[0], end[0], begin[1]) == ("begin", "end", end[1])
    versions = [int(by.removeprefix("version ")) for _, by, _ in noted]
    assert versions == sorted(versions)
    return noted


@pytest.mark.parametrize("way", ["import", "request"])
def test_an_agent_goes_on_with_new_code(tmp_path: Path, way: str) -> None:
    """Ten saves under `hotsession run`, while it works: one process, no step lost or done twice, old code collected."""
    project = write_project(tmp_path / "app", PROJECT)
    if way == "import":
        (project / "main.py").write_text((project / "main.py").read_text().replace(*AT_IMPORT[1:]))
    with Server(hotsession_run("main:app"), project) as server:
        if way == "request":
            assert server.get("/begin").json() == "running"
        for number in range(10):
            goes_on(project, f"version {number}")
            server.edit("agent.py", f'"version {number}"', f'"version {number + 1}"')
            server.wait_for_line(rf"(?s)(Reloaded agent, main in .*; tasks: 'agent' restarted.*){{{number + 1}}}")
        goes_on(project, "version 10")
        assert server.get("/begin").json() == "running"
        wait_until(lambda: server.get("/code").json() == 1, DEADLINE, "the old code to be collected")
    noted = check(project)
    assert {pid for _, _, pid in noted} == {noted[0][2]}
    assert noted[-1][:2] == ("end", "version 10")


def test_a_broken_save_does_not_stop_the_agent(tmp_path: Path) -> None:
    """It works on with the old code, and the save that mends it restarts it."""
    project = write_project(tmp_path / "app", PROJECT)
    with Server(hotsession_run("main:app"), project) as server:
        server.get("/begin")
        goes_on(project, "version 0")
        server.edit("agent.py", '"version 0"', '"version 1" +')
        server.wait_for_line("SyntaxError")
        before = len(steps(project))
        wait_until(lambda: len(steps(project)) > before + 10, DEADLINE)
        server.edit("agent.py", '"version 1" +', '"version 2"')
        goes_on(project, "version 2")
    assert [what for what, _, _ in check(project) if not what.isdigit()] == ["begin", "end", "begin", "end"]


def test_it_goes_on_in_the_next_process(tmp_path: Path) -> None:
    """A change that needs a new worker: the old agent has ended before the new one begins, from the state it left."""
    project = write_project(tmp_path / "app", PROJECT)
    (project / "main.py").write_text((project / "main.py").read_text().replace(*AT_IMPORT[1:]))
    with Server(hotsession_run("main:app"), project) as server:
        for restarts in range(1, 4):
            server.get("/restart")
            wait_until(lambda n=restarts: len({pid for _, _, pid in steps(project)}) > n, DEADLINE)  # type: ignore[misc]
            goes_on(project, "version 0")
    check(project)


def test_it_goes_on_under_a_process_reloader(tmp_path: Path) -> None:
    """`uvicorn --reload`: each save ends the process, and the next one reads from the snapshot where it was."""
    project = write_project(tmp_path / "app", PROJECT)
    (project / "main.py").write_text((project / "main.py").read_text().replace(*AT_IMPORT[1:]))
    with Server(uvicorn_reload("main:app"), project) as server:
        for number in range(4):
            goes_on(project, f"version {number}")
            server.edit("agent.py", f'"version {number}"', f'"version {number + 1}"')
        goes_on(project, "version 4")
    noted = check(project)
    assert len({pid for _, _, pid in noted}) == 5
    assert noted[-1][0] == "end"


@pytest.mark.parametrize("middleware", [True, False])
def test_in_production_it_ends_with_the_server(tmp_path: Path, middleware: bool) -> None:
    """Cancelled and awaited: what it does in its `finally` is done."""
    project = write_project(tmp_path / "app", PROJECT)
    main = (project / "main.py").read_text()
    if middleware:
        main = main.replace(*AT_IMPORT[1:])
    else:
        main = main.replace("middleware=[Middleware(hotsession.HotSessionMiddleware)],", "lifespan=lifespan,")
        main = main.replace("app = ", LIFESPAN + "app = ")
    (project / "main.py").write_text(main)
    with Server(uvicorn("main:app"), project):
        goes_on(project, "version 0")
    assert [what for what, _, _ in check(project) if not what.isdigit()] == ["begin", "end"]


DEAF = """
async def agent():
    note("begin")
    while True:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            note("deaf")
"""


@pytest.mark.parametrize("command", [hotsession_run, uvicorn])
def test_a_task_that_never_ends_holds_up_the_end_for_a_bounded_time(tmp_path: Path, command: Any) -> None:
    """Ctrl+C once: after ten seconds it is named, with the line where it is, and left behind."""
    project = write_project(tmp_path / "app", PROJECT)
    agent = (project / "agent.py").read_text()
    (project / "agent.py").write_text(agent[: agent.index("async def agent")] + DEAF)
    with Server(command("main:app"), project) as server:
        server.get("/begin")
        wait_until(lambda: steps(project), DEADLINE)
        server.interrupt()
        server.process.wait(DEADLINE)
        server.wait_for_line(r"Task 'agent' .* because the server ends, and still goes on after 10 s at .*agent.py")
    assert [what for what, _, _ in steps(project)] == ["begin", "deaf"]
