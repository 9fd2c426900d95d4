"""Answers that finish on the code that began them, whatever is saved meanwhile: nothing is cut, nothing asked twice."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from tests.deadlines import DEADLINE
from tests.e2e.carried_feeds import FEEDS
from tests.e2e.event_reader import EventReader
from tests.e2e.versioned import VersionedServer, serve

pytestmark = pytest.mark.e2e


@pytest.fixture
def server(tmp_path: Path) -> Iterator[VersionedServer]:
    """A server of the app with the usual options; its log has no error at the end."""
    with serve(tmp_path, FEEDS) as server:
        yield server
        assert "Traceback" not in server.log
        assert "ERROR" not in server.log


def test_a_generation_is_kept_for_its_answers_and_no_other(server: VersionedServer) -> None:
    """Five saves while answers stream: the log names them, code in between is gone, and old code when they are done."""
    with contextlib.ExitStack() as stack:
        answers = [
            stack.enter_context(EventReader(server, "/answer")),
            stack.enter_context(EventReader(server, "/around/answer")),
            stack.enter_context(EventReader(server, "/post", method="POST")),
        ]
        for each in answers:
            each.wait_for("begins 0.0")
        since = len(server.log)
        newest = [server.save(module) for module in ("leaf", "base", "leaf", "base", "leaf")][-1]
        server.wait_for_line("old code still has work: .*POST /post", since=since)
        server.wait_until_alive("0.0", newest)
        server.mark("go on")
        for each in answers:
            each.wait_for_end()
            assert each.data == ["begins 0.0", "ends 0.0"]
    server.wait_until_alive(newest)
    asked = sorted(mark for mark in server.marks if "asked" in mark)
    assert asked == [f"{path} asked at 0.0" for path in ("/answer", "/around/answer", "/post")]


def test_other_requests_finish_on_old_code_too(server: VersionedServer) -> None:
    """A download and a long poll take as long as they take, also beyond two saves."""
    with ThreadPoolExecutor() as pool:
        asked = {
            path: pool.submit(httpx.get, f"{server.url}{path}", trust_env=False, timeout=DEADLINE)
            for path in ("/download", "/poll", "/around/poll")
        }
        for path in asked:
            server.wait_for_mark(f"{path} asked at 0.0")
        newest = [server.save(), server.save("base")][-1]
        server.wait_until_alive("0.0", newest)
        server.mark("go on")
        answers = {path: each.result(DEADLINE) for path, each in asked.items()}
    assert answers["/download"].content == b"0" * 100000 + b"0.0"
    assert answers["/poll"].json() == answers["/around/poll"].json() == {"version": "0.0"}
    server.wait_until_alive(newest)
    assert sorted(mark for mark in server.marks if "asked" in mark) == sorted(f"{path} asked at 0.0" for path in asked)


@pytest.mark.parametrize("path", ["/bare", "/around/bare", "/zipped"])
def test_an_event_stream_that_can_not_resume_ends_after_the_drain_timeout(tmp_path: Path, path: str) -> None:
    """One without ids, or compressed, goes on with old code until then, and ends so that its page comes back."""
    with serve(tmp_path, FEEDS, "--drain-timeout", "1.5") as server:
        with EventReader(server, path) as events:
            events.wait_for(lambda data: len(data) > 1)
            began = time.monotonic()
            new = server.save()
            heard = len(events.data)
            events.wait_for(lambda data: len(data) > heard + 10)
            raw = events.wait_for_end()
            assert 1 < time.monotonic() - began < 15
            assert {text.split()[-1] for text in events.data} == {"0.0"}
            if "zipped" not in path:
                assert raw.endswith(b"retry: 250\n\n")
        server.wait_until_alive(new)
        assert "Traceback" not in server.log


def test_the_drain_timeout_cuts_no_answer_that_ends_by_itself(tmp_path: Path) -> None:
    """A POST stream, a download and a long poll outlast it: a model's answer is never cut and never asked for twice."""
    with serve(tmp_path, FEEDS, "--drain-timeout", "0.2") as server:
        with EventReader(server, "/post", method="POST") as answer, ThreadPoolExecutor() as pool:
            answer.wait_for("begins 0.0")
            poll = pool.submit(httpx.get, f"{server.url}/poll", trust_env=False, timeout=DEADLINE)
            download = pool.submit(httpx.get, f"{server.url}/download", trust_env=False, timeout=DEADLINE)
            for path in ("/poll", "/download"):
                server.wait_for_mark(f"{path} asked at 0.0")
            new = server.save()
            server.wait_for_line("Generation 1, replaced 0 s ago, still has work: .*POST /post")
            server.mark("go on")
            answer.wait_for_end()
            assert answer.data == ["begins 0.0", "ends 0.0"]
            assert poll.result(DEADLINE).json() == {"version": "0.0"}
            assert download.result(DEADLINE).content.endswith(b"0.0")
        server.wait_until_alive(new)
        assert sum("asked" in mark for mark in server.marks) == 3
        assert "Traceback" not in server.log
