"""Objects in sessions and kept values follow real edits of their classes: with a new process or without."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.e2e.living_cases import CASES, MORE, RAISING, TABLE
from tests.e2e.living_server import Case, LivingServer, Seen
from tests.e2e.reloaders import HOTSESSION, UVICORN, Reloader
from tests.living.edits import Edit

pytestmark = pytest.mark.e2e

PLACES = ("session", "kept")
GONE = {place: {"is": "gone"} for place in PLACES}
FAILED = r"ValueError: a name in two parts"


class Story:
    """What was answered before any save, and after each, of all cases, and what the server logged.

    Args:
        reloader: that it was under.
        server: the app.
    """

    def __init__(self, reloader: Reloader, server: LivingServer) -> None:
        self.in_place = reloader.in_place
        self.seen: list[dict[str, Seen]] = []
        self.logs: list[str] = []
        for phase in range(max(len(case.codes) for case in CASES)):
            if phase:
                server.save(phase)
            self.seen.append(server.look(phase))
            self.logs.append(server.server.log)

    def of(self, what: str, phase: int) -> dict[str, dict[str, Any]]:
        """What there was in the session and in the kept value of a case after so many saves."""
        seen = self.seen[phase][what]
        assert seen.status == 200, f"{seen.text}\n{self.logs[phase]}"
        return seen.places

    def content(self, what: str, phase: int) -> list[str]:
        """What the objects of a case had."""
        return [found["content"] for found in self.of(what, phase).values()]


@pytest.fixture(scope="module", params=[HOTSESSION, UVICORN], ids=str)
def story(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Story:
    """All edits of all cases, under one server: the tests below look at what came of it."""
    reloader: Reloader = request.param
    with LivingServer(reloader, CASES, tmp_path_factory.mktemp("living") / "project") as server:
        return Story(reloader, server)


def assert_holds(found: dict[str, dict[str, Any]]) -> None:
    """In both places what was asked is true, and what referred to the object refers to the one that is there now."""
    for place in PLACES:
        assert found[place]["is"], f"{place}: {found[place]}"
        assert found[place]["is"] != "gone", place
        assert found[place]["is one"] is True, f"{place}: {found[place]}"
        assert not _is_error(found[place]["is"]), f"{place}: {found[place]}"


def _is_error(value: object) -> bool:
    return isinstance(value, str) and "Error: " in value


@pytest.mark.parametrize("edit", TABLE.values(), ids=TABLE)
def test_a_row_of_the_table(story: Story, edit: Edit) -> None:
    """After the save it is as the table of the README says, in sessions and in kept values, under both."""
    found = story.of(edit.what, 1)
    if not story.in_place and not edit.restart:
        assert found == GONE  # the code that it needs is not there: it is in its bytes
        return
    assert_holds(found)
    if story.in_place:
        before = story.of(edit.what, 0)
        assert all((found[place]["id"] == before[place]["id"]) == edit.in_place for place in PLACES)


@pytest.mark.parametrize("edit", TABLE.values(), ids=TABLE)
def test_a_row_undone(story: Story, edit: Edit) -> None:
    """When the edit is undone the objects are of the class as it was again, with all that they had, under both."""
    assert_holds(story.of(edit.what, 2))
    if "migrate" not in edit.after:
        assert story.content(edit.what, 2) == story.content(edit.what, 0)


@pytest.mark.parametrize("case", MORE, ids=[case.what for case in MORE])
def test_further_edits(story: Story, case: Case) -> None:
    """After each save the objects are as it asks for, in sessions and in kept values, under both."""
    for phase in range(1, len(case.codes)):
        assert_holds(story.of(case.what, phase))


@pytest.mark.parametrize("case", RAISING, ids=[case.what for case in RAISING])
def test_a_step_that_raises(story: Story, case: Case) -> None:
    """Who asks for them is told; the objects are as they were, and follow when it is mended or taken back.

    Without a new process a kept value is in use and stays so: the log says it.
    """
    assert FAILED in story.logs[1]
    assert "session" in story.logs[1]
    assert story.seen[1][case.what].status == 500
    kept = story.seen[1][case.what].places["kept"]
    assert kept["is"] == (True if story.in_place else "refused")
    if not story.in_place:
        assert re.search(rf"\['it'\] is a A that .*{FAILED}", kept["why"])
    assert_holds(story.of(case.what, 2))


def test_a_step_that_raises_is_reported_once(story: Story) -> None:
    """Each session and kept value whose step raised is named once, with the path: a value that nobody got, to him."""
    lines = [line for line in story.logs[1].splitlines() if FAILED in line and not line.startswith(" ")]
    told = [line for line in lines if line.startswith(("ERROR", "WARNING"))]
    for place in ("session ", "kept value ") if story.in_place else ("session ",):
        assert len({line for line in told if place in line}) == len([line for line in told if place in line])
        assert len([line for line in told if place in line]) >= len(RAISING)
    assert all('["it"] is a A' in line or "'it' can't be" in line or "'again' can't be" in line for line in told)
