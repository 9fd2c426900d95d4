"""Event streams that new code does not go on with: they end so that their pages come back, and the log says why."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.carried_feeds import FEEDS
from tests.e2e.event_reader import EventReader
from tests.e2e.versioned import serve

pytestmark = pytest.mark.e2e

RETRY = b"retry: 250\n\n"


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("/gone", "404"),
        ("/endings/missing", "404"),
        ("/endings/json", "application/json"),
        ("/endings/fails", "not today"),
        ("/endings/no content", "204"),
    ],
)
def test_new_code_that_does_not_go_on(tmp_path: Path, path: str, why: str) -> None:
    """The response ends cleanly, with a line that lets the page come back at once, and the log says why."""
    with serve(tmp_path, FEEDS) as server, EventReader(server, path) as events:
        events.wait_for(lambda data: len(data) > 1)
        new = server.save()
        assert events.wait_for_end().endswith(RETRY)
        assert all(text.endswith("0.0") for text in events.data)
        server.wait_for_line(rf"(?s){path}\b.*{why}")
        server.wait_until_alive(new)
