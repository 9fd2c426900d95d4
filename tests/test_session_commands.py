"""`hotsession sessions` on real storages that a program left behind."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import anyio
import pytest
from click.testing import CliRunner, Result

from hotsession.cli import main
from hotsession.lifecycle.codec import JSONCodec, SignedPickleCodec
from hotsession.lifecycle.limits import Limits
from hotsession.lifecycle.record import Record, new_record
from hotsession.storages.opening import open_storage

IDS = ["a1" + "0" * 30, "a2" + "0" * 30, "b1" + "0" * 30]  # in the order in which they are made


def filled(address: str) -> str:
    """Put three sessions of two managers at an address, and return it."""

    async def fill() -> None:
        storage = open_storage(address)
        for number, (each, manager) in enumerate(zip(IDS, ("jobs", "jobs", "chats"), strict=True)):
            await storage.add(made(each, manager, number))
        await storage.aclose()

    anyio.run(fill)
    return address


def made(id: str, manager: str, number: int) -> Record:
    """A session that is ready to be stored."""
    payload = JSONCodec().dumps({"prompt": f"cat {number}"})
    key = ("user", str(number))
    return new_record(id, manager, key, payload, time.time() - 9 + number, Limits(idle_timeout=3600))._replace(
        version=1
    )


@pytest.fixture(params=["sqlite", "file"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A storage of each lasting kind, with sessions in it."""
    if request.param == "file":
        (tmp_path / "jobs").mkdir()
        return filled(f"file:///{tmp_path}/jobs")
    return filled(f"sqlite:///{tmp_path}/jobs.db")


def run(*arguments: str, **env: str | None) -> Result:
    """The command with these arguments."""
    return CliRunner().invoke(main, ["sessions", *arguments], env={"HOTSESSION_STORAGE": None, **env})


def shown(result: Result) -> list[dict[str, Any]]:
    """The JSON lines that were printed."""
    assert result.exit_code == 0, result.output
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_a_list_is_a_table_with_the_newest_first(address: str) -> None:
    """Shortened ids, names, keys, states and data, and how many there are in all."""
    lines = run("--storage", address, "list").stdout.splitlines()
    assert lines[0].split() == ["id", "sessions", "key", "status", "age", "expires", "data"]
    assert [line.split()[0] for line in lines[1:4]] == [each[:8] for each in reversed(IDS)]
    assert "user / 1" in lines[2]
    assert '{"prompt":"cat 1"}' in lines[2]
    assert lines[4] == "3 shown, 3 live in all"


def test_a_list_can_be_narrowed(address: str) -> None:
    """By manager, key, state and number."""
    assert [each["id"] for each in shown(run("--storage", address, "list", "--name", "jobs", "--json"))] == IDS[1::-1]
    assert [each["id"] for each in shown(run("--storage", address, "list", "--limit", "1", "--json"))] == IDS[2:]
    found = shown(run("--storage", address, "list", "--key", "user", "--key", "2", "--json"))
    assert [each["manager"] for each in found] == ["chats"]
    assert shown(run("--storage", address, "list", "--status", "ended", "--json")) == []


def test_one_is_shown_by_the_beginning_of_its_id(address: str) -> None:
    """If no other begins so; else it is an error that says what to do."""
    assert json.loads(run("--storage", address, "show", "b").stdout)["data"] == {"prompt": "cat 2"}
    result = run("--storage", address, "show", "a")
    assert result.exit_code == 2
    assert "2 sessions begin with 'a'" in result.stderr
    assert "no session begins with 'zz'" in run("--storage", address, "show", "zz").stderr


def test_one_is_ended_for_good(address: str) -> None:
    """It is listed as ended with its reason, and can't be ended again."""
    assert run("--storage", address, "end", "a1", "--reason", "by hand").stdout == "ended session a1000000\n"
    ended = shown(run("--storage", address, "list", "--status", "ended", "--json"))
    assert [(each["id"], each["reason"]) for each in ended] == [(IDS[0], "by hand")]
    assert "is ended already" in run("--storage", address, "end", "a1").stderr


def test_an_export_is_a_file_that_overwrites_nothing(address: str, tmp_path: Path) -> None:
    """All sessions, a line each; a file that is there stays as it is."""
    output = tmp_path / "out.jsonl"
    assert run("--storage", address, "export", "-o", str(output)).stdout == f"wrote 3 sessions to {output}\n"
    assert [json.loads(line)["id"] for line in output.read_text().splitlines()] == [IDS[2], IDS[1], IDS[0]]
    result = run("--storage", address, "export", "-o", str(output))
    assert result.exit_code == 2
    assert "can't be written" in result.stderr


def test_the_storage_may_be_named_after_the_command(address: str) -> None:
    """As the error that asks for `--storage` is answered by whoever adds it at the end of the line; that one counts."""
    assert "with --storage" in run("list").stderr
    assert len(shown(run("list", "--json", "--storage", address))) == 3
    assert len(shown(run("--storage", "sqlite:///nosuch.db", "list", "--json", "--storage", address))) == 3
    assert "there is no" in run("show", "b", "--storage", "sqlite:///nosuch.db").stderr


def test_the_environment_says_where_they_are(address: str) -> None:
    """HOTSESSION_STORAGE does instead of --storage."""
    assert len(shown(run("list", "--json", HOTSESSION_STORAGE=address))) == 3


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["list"], "sessions in memory are seen by their own process alone"),
        (["--storage", "sqlite:///not/there.db", "list"], "there is no "),
        (["--storage", "redis://here", "list"], "is no address of a storage"),
    ],
)
def test_bad_addresses_are_refused(arguments: list[str], said: str) -> None:
    """With what to do, and nothing is made."""
    result = run(*arguments)
    assert result.exit_code == 2
    assert said in result.stderr


def test_what_only_the_app_can_read_is_said_so(tmp_path: Path) -> None:
    """Signed pickles are not read: this program has no key, and would trust whoever wrote them."""
    address = f"sqlite:///{tmp_path}/pickles.db"

    async def fill() -> None:
        storage = open_storage(address)
        payload = SignedPickleCodec("secret").dumps({"a": 1})
        await storage.add(made(IDS[0], "jobs", 0)._replace(payload=payload))
        await storage.aclose()

    anyio.run(fill)
    assert "bytes that only the app can read" in run("--storage", address, "show", "a1").stdout
