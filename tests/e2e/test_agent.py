"""The agent example over real HTTP and WebSockets: plans, tools, resumed streams, answers that are taken up."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.asker import Asker, text_of
from tests.e2e.servers import ROOT, Server, copy_project, hotsession_run, uvicorn, uvicorn_reload, wait_until

pytestmark = pytest.mark.e2e

TWO_TOOLS = "How warm is Lisbon in spring, and what is 12 * (30 + 5)?"
LONG = "What can you do?"
SLOW = {"AGENT_PACE": "0.05"}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    copy_project(ROOT / "examples" / "agent", tmp_path / "project" / "agent")
    return tmp_path / "project"


@pytest.fixture
def server(project: Path) -> Iterator[Server]:
    with Server(hotsession_run("agent/main.py"), project, env={"AGENT_PACE": "0.01"}) as server:
        yield server


@pytest.fixture
def asker(server: Server) -> Iterator[Asker]:
    with Asker(server) as asker:
        yield asker


def test_a_question_is_planned_looked_up_and_answered(asker: Asker) -> None:
    """Plan, calls, results, words and answer come as numbered events, and the words are the answer."""
    asker.ask(TWO_TOOLS)
    events = asker.hear()
    kinds = [event["type"] for event in events]
    assert kinds[:6] == ["asked", "plan", "call", "result", "call", "result"]
    assert kinds[6:] == ["words"] * (len(kinds) - 7) + ["answered"]
    assert [event["id"] for event in events] == list(range(1, len(events) + 1))
    assert events[1]["steps"] == ["tell the weather", "reckon"]
    assert events[4]["text"] == "calculator(expression='12 * (30 + 5)')"
    assert text_of(events) == events[-1]["text"]
    assert "12 * (30 + 5) = 420" in events[-1]["text"]


def test_a_question_goes_on_with_the_conversation(asker: Asker) -> None:
    """What is left out is as in the question before, from the session."""
    asker.answer("How warm is Lisbon in spring?")
    assert "Oslo in April" in asker.answer("And in Oslo?")["text"]


def test_a_stream_is_resumed_without_a_gap_or_a_repeat(asker: Asker) -> None:
    """A client that leaves every few events, and comes back with Last-Event-ID, hears each exactly once."""
    asker.ask(TWO_TOOLS)
    heard = asker.hear("plan")
    while heard[-1]["type"] != "answered":
        heard += asker.hear("words", count=3) if len(heard) < 20 else asker.hear()
    assert [event["id"] for event in heard] == list(range(1, len(heard) + 1))
    assert text_of(heard) == heard[-1]["text"]


def test_a_question_that_is_sent_again_is_asked_once(asker: Asker) -> None:
    """The id of a message tells: the second time it is acknowledged, and no more."""
    for _ in range(3):
        asker.ask("1 + 1", "the same")
    asker.answer("2 + 2")
    asker.last_id = ""
    assert [event["text"] for event in asker.hear(count=2) if event["type"] == "asked"] == ["1 + 1", "2 + 2"]


def test_questions_wait_for_each_other(asker: Asker) -> None:
    """What is asked during an answer is answered after it."""
    asker.ask(LONG)
    asker.ask("1 + 1")
    events = asker.hear(count=2)
    answers = [event["text"] for event in events if event["type"] == "answered"]
    assert answers[0].startswith("I am a small agent")
    assert "1 + 1 = 2" in answers[1]
    first = [event["type"] for event in events].index("answered")
    for answer, told in zip(answers, (events[:first], events[first:]), strict=True):
        said = text_of(told)  # the last words of an answer may be told with the whole of it only
        assert said
        assert answer.startswith(said)


def test_the_stop_button_is_heard_during_an_answer(asker: Asker) -> None:
    """What was said until then stays, and the next question is answered."""
    asker.ask(LONG)
    asker.hear("words", count=5)
    asker.send({"id": "stop", "stop": True})
    stopped = asker.hear()[-1]
    assert stopped["type"] == "stopped"
    assert 5 <= len(stopped["text"].split()) < 100
    assert "1 + 1 = 2" in asker.answer("1 + 1")["text"]


def test_a_new_conversation_ends_the_stream_of_the_old(asker: Asker) -> None:
    """The stream ends; the next one begins from nothing, though it brings an id of the old."""
    asker.answer("1 + 1")
    events = asker.events()
    assert next(events)["type"] == "begin"
    assert asker.server.post("/api/conversation").status_code == 204
    assert list(events) == []
    asker.ask("3 + 3")
    assert asker.hear()[0] == {"id": 1, "type": "asked", "message": "3 + 3", "text": "3 + 3"}
    assert asker.begins[-1]["conversation"] != asker.begins[0]["conversation"]


def test_a_tool_that_fails_is_told_of_and_mended(asker: Asker) -> None:
    """The error is the answer, the log has its traceback, and after the fix the tool is as good as new."""
    calculator = "agent/tools/calculator.py"
    code = asker.wait_for_code("")
    asker.server.edit(calculator, "    try:\n        value", "    1 / 0\n    try:\n        value")
    broken = asker.wait_for_code(code)
    asker.connect()
    failed = asker.answer("1 + 1")
    assert (failed["type"], failed["error"]) == ("failed", "ZeroDivisionError: division by zero")
    asker.server.wait_for_line("The agent failed")
    asker.server.edit(calculator, "    1 / 0\n", "")
    asker.wait_for_code(broken)
    asker.connect()
    assert asker.answer("1 + 1 ")["type"] == "answered"


@pytest.mark.parametrize("message", ["Hi", "[1]", '{"id": 1, "text": "Hi"}', '{"id": "1", "text": " "}'])
def test_what_is_no_question_is_refused(asker: Asker, message: str) -> None:
    """The socket says what it takes, and goes on."""
    asker.socket.send(message)
    assert asker.receive()["type"] == "refused"
    assert "1 + 1 = 2" in asker.answer("1 + 1")["text"]


def test_strangers_see_nothing(asker: Asker) -> None:
    """A visitor sees his own conversation through the session routes, and nobody else's."""
    asker.answer("1 + 1")
    own = asker.server.get("/api/sessions").json()["sessions"]
    assert [each["data"]["last"] for each in own] == [int(asker.last_id.rpartition("-")[2])]
    asker.server.client.cookies.clear()
    assert asker.server.get("/api/sessions").json().get("sessions", []) == []


def test_an_answer_is_finished_by_the_next_process(project: Path) -> None:
    """Under `uvicorn --reload` a save in the middle of an answer costs no word of it, and asks no tool twice."""
    with Server(uvicorn_reload("agent.main:app"), project, env=SLOW) as server, Asker(server) as asker:
        asker.ask(TWO_TOOLS)
        heard = asker.hear("words", count=3)
        server.edit("agent/prompts.py", 'SIGN_OFF = ""', 'SIGN_OFF = "Yours, the new code."')
        asker.wait_for_code(asker.begins[0]["code"])
        heard += asker.hear()
        assert [event["id"] for event in heard] == list(range(1, len(heard) + 1))
        assert [event["type"] for event in heard if event["type"] in ("call", "result")] == ["call", "result"] * 2
        assert text_of(heard) == heard[-1]["text"]
        assert heard[-1]["code"] == asker.begins[-1]["code"]
        asker.connect()
        assert asker.answer("1 + 1")["text"].endswith("Yours, the new code.")


def test_an_answer_survives_a_killed_worker(project: Path) -> None:
    """After `kill -9` in the middle of an answer, the next worker goes on with it, from what the client had heard."""
    with Server(hotsession_run("agent/main.py"), project, env=SLOW) as server, Asker(server) as asker:
        asker.ask(LONG)
        heard = asker.hear("words", count=5)
        (worker,) = server.workers()
        server.kill(worker)
        wait_until(lambda: server.get("/").is_success, 30, "the next worker")
        heard += asker.hear()
        assert [event["id"] for event in heard] == list(range(1, len(heard) + 1))
        assert text_of(heard) == heard[-1]["text"]


def test_without_a_reloader_nothing_differs(project: Path) -> None:
    """Under plain uvicorn the same agent answers; saves are not looked at."""
    with Server(uvicorn("agent.main:app"), project, env={"AGENT_PACE": "0"}) as server, Asker(server) as asker:
        server.edit("agent/prompts.py", 'SIGN_OFF = ""', 'SIGN_OFF = "Not seen."')
        assert asker.answer("1 + 1")["text"].endswith("1 + 1 = 2.")
