"""Whether there is a snapshot: by the dev server above, and by what the environment says."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from hotsession.errors import ConfigurationError
from hotsession.snapshot.decision import Decision, decide
from hotsession.surroundings.processes import process_started
from hotsession.surroundings.reloaders import DevServer, ReloaderUnknown

SERVER = DevServer("uvicorn --reload", 12, "345")


def found() -> DevServer | None:
    return SERVER


def none() -> DevServer | None:
    return None


def unknown() -> DevServer | None:
    raise ReloaderUnknown("there is no /proc here, and ps fails")


def too_early() -> DevServer | None:
    raise ReloaderUnknown("multiprocessing has not yet started this process", for_now=True)


def decided(find: Callable[[], DevServer | None], *, is_reloader: bool = False, **environ: str) -> Decision:
    return decide(environ, find=find, is_reloader=lambda: is_reloader)


def test_under_a_dev_server_it_is_on() -> None:
    """It belongs to that dev server, and the line for the log names it."""
    assert decided(found) == Decision(
        on=True, why="Kept state survives restarts by uvicorn --reload [12]", server=SERVER
    )


def test_without_a_reloader_it_is_off_and_nobody_is_told() -> None:
    """That is production, which is left alone."""
    assert decided(none) == Decision(
        on=False, why="Kept state does not survive a restart: no reloader restarts this process"
    )


def test_off_says_so_whatever_runs_above() -> None:
    """HOTSESSION=off decides over all else, and is no news."""
    for find in (found, none, unknown):
        assert decided(find, HOTSESSION="off") == Decision(
            on=False, why="Kept state does not survive a restart: HOTSESSION=off"
        )


@pytest.mark.parametrize("find", [none, unknown])
def test_on_takes_the_process_above_for_the_dev_server(find: Callable[[], DevServer | None]) -> None:
    """HOTSESSION=on decides also where no reloader is found."""
    decision = decided(find, HOTSESSION="on")
    parent = os.getppid()
    assert decision.on
    assert decision.server == DevServer("the process above", parent, process_started(parent) or "")
    assert decision.why == f"Kept state survives restarts by the process above [{parent}], as HOTSESSION=on says"


def test_on_under_a_dev_server_changes_nothing() -> None:
    """The reloader that was found is the dev server."""
    assert decided(found, HOTSESSION=" ON ").server == SERVER


def test_the_first_process_of_a_container(monkeypatch: pytest.MonkeyPatch) -> None:
    """None is above it, so that it is its own dev server when people say on."""
    monkeypatch.setattr(os, "getppid", lambda: 0)
    server = decided(none, HOTSESSION="on").server
    assert server is not None
    assert server.pid == os.getpid()


@pytest.mark.parametrize("value", ["yes", "1", "true"])
def test_other_values_are_an_error(value: str) -> None:
    """What is neither on nor off is not guessed at."""
    with pytest.raises(ConfigurationError, match=rf"HOTSESSION={value} is neither on nor off: set it to one of them"):
        decided(found, HOTSESSION=value)


def test_empty_is_unset() -> None:
    """As `HOTSESSION= uvicorn ...` means it."""
    assert decided(found, HOTSESSION="", HOTSESSION_STATE="") == decided(found)


def test_where_it_cant_be_told_it_is_off_and_one_line_says_so() -> None:
    """The line says what was decided, why, and what decides otherwise."""
    assert decided(unknown) == Decision(
        on=False,
        why="Kept state does not survive a restart, as it can't be told whether a reloader restarts this process"
        " (there is no /proc here, and ps fails): HOTSESSION=on or HOTSESSION=off decides",
        tell=True,
    )


@pytest.mark.parametrize("switch", ["", "on"])
def test_while_multiprocessing_prepares_the_process(switch: str) -> None:
    """It is off for the moment, is to be asked for again, and nobody is told."""
    decision = decided(too_early, HOTSESSION=switch)
    assert (decision.on, decision.final, decision.tell) == (False, False, False)


@pytest.mark.parametrize("switch", ["", "on"])
def test_the_reloader_itself(switch: str) -> None:
    """Where `fastapi dev` or `hypercorn --reload` import the app in the parent there is none, nor a word about it."""
    assert decided(none, is_reloader=True, HOTSESSION=switch) == Decision(
        on=False, why="Kept state does not survive a restart: this process is the reloader itself"
    )


def test_a_lasting_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """HOTSESSION_STATE names it, relative to the current directory or to the user's."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert decided(found, HOTSESSION_STATE="state").lasting == tmp_path / "state"
    assert decided(found, HOTSESSION_STATE="~/state").lasting == tmp_path / "home" / "state"
    assert decided(none, HOTSESSION_STATE="state", HOTSESSION="on").lasting == tmp_path / "state"


def test_a_lasting_place_alone_turns_nothing_on() -> None:
    """In production it may be set by accident; one line says that it has no effect."""
    assert decided(none, HOTSESSION_STATE="/state") == Decision(
        on=False,
        why="Kept state does not survive a restart: no reloader restarts this process, so that HOTSESSION_STATE is not"
        " used: HOTSESSION=on or HOTSESSION=off decides",
        tell=True,
    )
