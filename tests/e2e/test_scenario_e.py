"""A click that makes one session, and not three (scenario E): the bot of the preview example over real HTTP."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.e2e.servers import ROOT, Server, copy_project, hotsession_run, uvicorn, uvicorn_reload, wait_until

pytestmark = pytest.mark.e2e

COMMANDS = {
    "hotsession run": hotsession_run("preview/main.py"),
    "uvicorn --reload": uvicorn_reload("preview.main:app"),
}
PROCESSES, CLICKS = 8, 50
DUPLICATES = """
    SELECT manager, key, count(*) FROM sessions
    WHERE key IS NOT NULL AND status IN ('active', 'paused') GROUP BY manager, key HAVING count(*) > 1
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    copy_project(ROOT / "examples" / "preview", tmp_path / "project" / "preview")
    return tmp_path / "project"


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "preview.db"


def serve(project: Path, database: Path, command: tuple[str, ...], **options: Any) -> Server:
    return Server(command, project, env={"PREVIEW_DB": str(database)}, **options)


def say(server: Server, text: str, user: str = "ada") -> dict[str, Any]:
    """Send a message and return the answer: the last message of the chat."""
    chat = server.post("/api/chat", json={"user": user, "text": text}).raise_for_status().json()
    answer: dict[str, Any] = chat["messages"][-1]
    assert answer["session"] == chat["session"]
    return answer


def rows(database: Path, query: str, *values: str) -> list[tuple[Any, ...]]:
    with contextlib.closing(sqlite3.connect(database)) as connection:
        return connection.execute(query, values).fetchall()


def chats_of(database: Path, user: str) -> list[tuple[Any, ...]]:
    query = "SELECT id, status FROM sessions WHERE manager = 'chats' AND key LIKE ?"
    return rows(database, query, f"%{user}%")


@pytest.mark.parametrize("command", COMMANDS)
def test_bonjour_view_sites_and_a_project(project: Path, database: Path, command: str) -> None:
    """The tasks of the project are shown, from one session, with the code saved before each step."""
    with serve(project, database, COMMANDS[command]) as server:
        save(server, "Bonjour", "Salut")
        hello = say(server, "Bonjour")
        assert hello["text"] == "Salut Ada!"

        save(server, "These are your sites.", "Your sites, freshly listed:")
        sites = say(server, "View Sites")
        assert (sites["by"], sites["text"]) == ("pipeline", "Your sites, freshly listed:")
        assert "Museum" in sites["choices"]

        save(server, "To do for the", "Still to do for the")
        tasks = say(server, "Museum")
        assert tasks["text"] == "Still to do for the Museum:"
        assert "Audio guide in French" in tasks["tasks"]

        assert hello["session"] == sites["session"] == tasks["session"]
        assert [each["seen"] for each in (hello, sites, tasks)] == [1, 3, 5]
        assert chats_of(database, "ada") == [(hello["session"], "active")]
        assert rows(database, DUPLICATES) == []


def save(server: Server, old: str, new: str) -> None:
    """Save bot.py with another text in it, and wait until the new code answers."""
    since = len(server.log)
    if old == "Bonjour":
        server.edit("preview/bot.py", f'GREETING = "{old}"', f'GREETING = "{new}"')
    else:
        server.edit("preview/bot.py", old, new)
    if "--reload" in server.command:
        server.wait_for_line("Application startup complete", since=since)
    else:
        server.wait_for_line(r"Reloaded .*preview\.bot", since=since)


def test_the_fallback_and_its_tools_work_on_the_handlers_session(project: Path, database: Path) -> None:
    """What a tool found in a task of its own is in the session of the handler, and only in that one."""
    with serve(project, database, COMMANDS["hotsession run"]) as server:
        assert say(server, "Museum")["text"] == "I know no 'Museum' yet."  # nobody has looked for sites
        say(server, "View Sites")
        assert say(server, "museum")["tasks"]
        assert say(server, "Museum", user="grace")["text"] == "I know no 'Museum' yet."
        assert len(chats_of(database, "ada")) == len(chats_of(database, "grace")) == 1
        assert len(rows(database, "SELECT id FROM sessions")) == 2


def test_a_storm_of_clicks_makes_one_session(project: Path, database: Path) -> None:
    """Eight processes, fifty clicks at once in each, one user: one live session, which has heard every click."""
    with contextlib.ExitStack() as stack:
        servers = [serve(project, database, uvicorn("preview.main:app"), ready=None) for _ in range(PROCESSES)]
        for server in servers:
            stack.enter_context(server)
        for server in servers:
            wait_until(lambda server=server: server.get("/api/projects"), 60, f"{server} to answer")  # type: ignore[misc]
        answers = asyncio.run(storm([server.url for server in servers]))
        assert {answer["session"] for answer in answers} == {answers[0]["session"]}
        chat = servers[0].get("/api/chat?user=ada").json()
        said = [message["text"] for message in chat["messages"] if message["by"] == "you"]
        assert sorted(said) == sorted(f"click {number}" for number in range(PROCESSES * CLICKS))
        assert len(chat["messages"]) == 2 * PROCESSES * CLICKS
    assert chats_of(database, "ada") == [(chat["session"], "active")]
    assert rows(database, DUPLICATES) == []


async def storm(urls: list[str]) -> list[dict[str, Any]]:
    """Click fifty times in each process, all at once."""
    limits = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(trust_env=False, timeout=120, limits=limits) as client:

        async def click(number: int) -> dict[str, Any]:
            message = {"user": "ada", "text": f"click {number}"}
            answer = await client.post(f"{urls[number % len(urls)]}/api/chat", json=message)
            assert answer.status_code == 200, answer.text
            found: dict[str, Any] = answer.json()
            return found

        return await asyncio.gather(*(click(number) for number in range(len(urls) * CLICKS)))


def test_the_database_refuses_a_second_live_session(project: Path, database: Path) -> None:
    """Whoever writes to the file past hotsession is refused by its index."""
    with serve(project, database, uvicorn("preview.main:app")) as server:
        server.get("/api/chat?user=ada")
    with contextlib.closing(sqlite3.connect(database)) as connection:
        names = [name for _, name, *_ in connection.execute("PRAGMA table_info(sessions)") if name != "place"]
        copied = ", ".join("'another'" if name == "id" else name for name in names)
        with pytest.raises(sqlite3.IntegrityError, match="UNIQUE constraint failed"):
            connection.execute(f"INSERT INTO sessions ({', '.join(names)}) SELECT {copied} FROM sessions")  # noqa: S608
