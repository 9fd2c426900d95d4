"""The chat example as its README walks through it: chat, save, chat on, over real HTTP and WebSockets."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed

from tests.deadlines import DEADLINE
from tests.e2e.servers import ROOT, Server, copy_project, hotsession_run, uvicorn, wait_until
from tests.e2e.visitor import GRAND, THRIFTY, Visitor

pytestmark = pytest.mark.e2e

FAST, SLOW = {"CHAT_PACE": "0"}, {"CHAT_PACE": "0.05"}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A copy of the example, to edit."""
    copy_project(ROOT / "examples" / "chat", tmp_path / "project" / "chat")
    return tmp_path / "project"


@pytest.fixture
def server(project: Path) -> Iterator[Server]:
    with Server(hotsession_run("chat/main.py"), project, env=FAST) as server:
        yield server


@pytest.fixture
def visitor(server: Server) -> Iterator[Visitor]:
    with Visitor(server) as visitor:
        yield visitor


def test_a_chat_goes_on_after_a_save(server: Server, visitor: Visitor) -> None:
    """The next message in the same session is answered by the new code, from the whole conversation before it."""
    before = visitor.ask("Five days in Lisbon")
    server.edit("chat/services.py", 'SIGN_OFF = ""', 'SIGN_OFF = "Have fun!"')
    visitor.new_code()
    after = visitor.ask("900 euros, what do you know so far?")
    assert after["message"]["text"] == "So far, after 2 messages: 5 days in Lisbon, 900 €. Have fun!"
    assert after["message"]["code"] != before["message"]["code"]
    assert len(visitor.texts()) == 4


def test_an_answer_streams_through_a_save(project: Path) -> None:
    """What the old code had begun to say it says to the end, and the message after it is answered by the new."""
    with Server(hotsession_run("chat/main.py"), project, env=SLOW) as server, Visitor(server) as visitor:
        message = {"id": "1", "text": "Five days in Lisbon, 900 €", "api_key": THRIFTY}
        visitor.socket.send(json.dumps(message))
        said = [visitor.receive("words")["text"] for _ in range(3)]
        server.edit("chat/services.py", 'GREETING = "Sure!"', 'GREETING = "Right!"')
        server.wait_for_line("Reloaded")
        while (reply := visitor.receive("words", "answer"))["type"] == "words":
            said.append(reply["text"])
        assert "".join(said) == reply["message"]["text"]
        assert said[0] == "Sure!"
        visitor.new_code()
        assert visitor.ask("800 €")["message"]["text"].startswith("Right! 5 days in Lisbon")


def test_nobody_leaves_at_a_save(server: Server, visitor: Visitor) -> None:
    """Who talks to the old code hears of no change in how many there are, until somebody does leave."""
    with Visitor(server) as other:
        visitor.receive("here")
        assert visitor.receive("here")["pages"] == 2
        server.edit("chat/services.py", 'SIGN_OFF = ""', 'SIGN_OFF = "Bye."')
        assert other.new_code() == json.loads(visitor.socket.recv(DEADLINE))["code"]
    assert json.loads(visitor.socket.recv(DEADLINE)) == {"type": "here", "pages": 1}


@pytest.mark.parametrize("file", ["main.py", "routes.py", "services.py", "models.py", "__init__.py"])
def test_any_file_may_be_saved(server: Server, visitor: Visitor, file: str) -> None:
    """Whichever file of the app is saved, the session goes on, and what it shows as its code is new."""
    visitor.ask("To Porto")
    session, code = visitor.history()["id"], visitor.hello["code"]
    path = server.directory / "chat" / file
    server.write(f"chat/{file}", path.read_text() + "\n# saved\n")
    assert visitor.new_code() != code
    assert visitor.ask("for a week, 1000 €")["message"]["text"].startswith("Sure! 7 days in Porto, 1000 €")
    assert visitor.history()["id"] == session


def test_many_saves_lose_nothing(server: Server, visitor: Visitor) -> None:
    """After ten saves with messages between them, every message is there and was answered by the code of its time."""
    for number in range(10):
        answer = visitor.ask(f"{number + 1} days in Rome")
        assert answer["message"]["text"].endswith(f"mark {number}" if number else "?")
        before = f"mark {number}" if number else ""
        server.edit("chat/services.py", f'SIGN_OFF = "{before}"', f'SIGN_OFF = "mark {number + 1}"')
        visitor.new_code()
    codes = [message["code"] for message in visitor.history()["messages"] if message["role"] == "planner"]
    assert len(set(codes)) == len(codes) == 10


def test_the_log_says_what_was_kept(server: Server, visitor: Visitor) -> None:
    """One line names the reloaded modules, the rebuilt service and the sessions and values that were preserved."""
    visitor.ask("Oslo")
    since = len(server.log)
    server.edit("chat/services.py", 'GREETING = "Sure!"', 'GREETING = "Right!"')
    line = server.wait_for_line(r"^INFO: .*chat\.services.*$", since=since)[0]
    assert "Planner" in line
    assert "sessions" in line
    assert " ms" in line
    assert server.log[since:].count("chat.services") == 1


def test_another_api_key_is_another_planner_of_the_same_chat(visitor: Visitor) -> None:
    """Switching the API key builds another service over the same sessions; switching back finds the first one."""
    first = visitor.ask("Two days in Berlin, 500 €")
    second = visitor.ask("How much is it?", GRAND)
    third = visitor.ask("How much is it?", THRIFTY)
    services = [answer["message"]["service"] for answer in (first, second, third)]
    assert services == ["Thrifty Trips #1", "Grand Tours #2", "Thrifty Trips #1"]
    assert [answer["answers"] for answer in (first, second, third)] == [1, 1, 2]
    assert second["trip"] == third["trip"] == "2 days in Berlin, 500 €"
    assert "456 €" in second["message"]["text"]
    assert "168 €" in third["message"]["text"]


def test_a_broken_save_changes_nothing(server: Server, visitor: Visitor) -> None:
    """While services.py does not compile the old planner goes on over the open socket; the fix takes over."""
    visitor.ask("Kyoto")
    server.edit("chat/services.py", 'SIGN_OFF = ""', 'SIGN_OFF = "')
    server.wait_for_line("SyntaxError")
    assert visitor.ask("for 3 days")["trip"] == "3 days in Kyoto"
    server.edit("chat/services.py", 'SIGN_OFF = "', 'SIGN_OFF = "Mended."')
    visitor.new_code()
    assert visitor.ask("thanks")["message"]["text"].endswith("Mended.")
    assert len(visitor.texts()) == 6


def test_a_planner_that_fails_is_mended_while_the_message_waits(server: Server, visitor: Visitor) -> None:
    """A message that new code can't answer is not lost: asked again after the fix, it is answered once."""
    server.edit("chat/services.py", "        text = self._reply(", "        text = 1 / 0 or self._reply(")
    visitor.new_code()
    message = {"id": "first", "text": "Rome", "api_key": THRIFTY}
    with pytest.raises(ConnectionClosed):
        visitor.send(message)
    before = visitor.history()["code"]
    server.edit("chat/services.py", "1 / 0 or ", "")
    wait_until(lambda: visitor.history()["code"] != before)
    visitor.connect()
    answer = visitor.send(message)
    assert visitor.send(message) == {**answer, "answers": 1}
    assert visitor.texts() == ["Rome", answer["message"]["text"]]


def test_a_new_chat_leaves_the_old_one_behind(server: Server, visitor: Visitor) -> None:
    """A new chat is another session without messages, also for the socket that is open."""
    visitor.ask("Paris")
    old = visitor.history()["id"]
    assert server.post("/api/chat").json()["messages"] == []
    assert visitor.ask("so far?")["message"]["text"] == "So far, after 1 message: some days in a place to be chosen."
    assert visitor.history()["id"] != old


@pytest.mark.parametrize(
    ("message", "error"),
    [
        ({"id": "1", "text": "Hi", "api_key": "stolen"}, "no account for that API key. Try one of: demo-thrifty"),
        ({"id": "1", "text": "  ", "api_key": THRIFTY}, "a text that is not empty"),
        ({"id": "1", "text": "x" * 2001, "api_key": THRIFTY}, "2001 characters; I read up to 2000"),
        (["Hi"], "a text that is not empty"),
        ("Hi", "Expecting value"),
    ],
    ids=["unknown key", "empty", "too long", "of another shape", "no JSON"],
)
def test_a_bad_message_is_answered_with_what_is_wrong(visitor: Visitor, message: object, error: str) -> None:
    """A message that can't be answered says why, and the socket goes on with the next."""
    assert error in visitor.send(message)["text"]
    assert visitor.ask("Rome")["trip"] == "some days in Rome"


def test_without_a_reloader_nothing_differs(project: Path) -> None:
    """Under plain uvicorn the same app chats, remembers and switches keys; saves are not looked at."""
    with Server(uvicorn("chat.main:app"), project, env=FAST) as server, Visitor(server) as visitor:
        visitor.ask("Two days in Berlin")
        server.edit("chat/services.py", 'SIGN_OFF = ""', 'SIGN_OFF = "Not seen."')
        answer = visitor.ask("500 €, so far?", GRAND)
        assert answer["message"]["text"] == "So far, after 2 messages: 2 days in Berlin, 500 €."
        assert answer["message"]["service"] == "Grand Tours #2"
        assert len(visitor.texts()) == 4
