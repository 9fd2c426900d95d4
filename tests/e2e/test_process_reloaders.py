"""The chat goes on under programs that start a new process for every save: its history is complete, its code is new."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.reloaders import HOTSESSION, RELOADERS, UVICORN, PatientVisitor, ReloadedServer, Reloader
from tests.e2e.servers import ROOT, copy_project, edit_file
from tests.effort import times

pytestmark = pytest.mark.e2e

APP = "chat.main:app"
ASKED_OFTEN = (UVICORN, HOTSESSION)  # ten saves are made under the others when there is time
ASK_FOR_RESTART = "\nhotsession.module(__name__).invalidate('each save shall bring a new process')\n"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the example, to edit, which speaks as fast as it can."""
    monkeypatch.setenv("CHAT_PACE", "0")
    copy_project(ROOT / "examples" / "chat", tmp_path / "project" / "chat")
    return tmp_path / "project"


@pytest.mark.parametrize("reloader", RELOADERS, ids=str)
def test_the_chat_goes_on_through_many_saves(reloader: Reloader, project: Path) -> None:
    """After each save the history is complete, and the next message is answered by the new code, with what it knows."""
    saves = 10 if reloader in ASKED_OFTEN else times(3, 10)
    services = project / "chat" / "services.py"
    if reloader.in_place:
        services.write_text(services.read_text() + ASK_FOR_RESTART)
    with ReloadedServer(reloader, APP, project) as server, PatientVisitor(server) as visitor:
        said = []
        chat = visitor.history()["id"]
        assert visitor.ask("To Rome")["trip"] == "some days in Rome"
        said += visitor.texts()
        for number in range(1, saves + 1):
            edit_file(services, f'SIGN_OFF = "{_mark(number - 1)}"', f'SIGN_OFF = "{_mark(number)}"')
            visitor.come_back()
            assert visitor.texts() == said
            question = f"{number + 1} days, {number}00 €"
            answer = visitor.ask(question)
            assert answer["trip"] == f"{number + 1} days in Rome, {number}00 €"
            assert answer["message"]["text"].endswith(_mark(number))
            said += [question, answer["message"]["text"]]
        history = visitor.history()
        assert [message["text"] for message in history["messages"]] == said
        assert history["id"] == chat
        codes = [message["code"] for message in history["messages"] if message["role"] == "planner"]
        assert len(set(codes)) == saves + 1


def _mark(number: int) -> str:
    return f"mark {number}" if number else ""
