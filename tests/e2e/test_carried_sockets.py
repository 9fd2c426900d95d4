"""WebSockets across saves under `hotsession run`: what handlers that differ see of it, and what their clients do."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import ClientConnection

from tests.deadlines import DEADLINE
from tests.e2e.carried_handlers import HANDLERS
from tests.e2e.servers import wait_until
from tests.e2e.sockets import ask, close_of, hear, open_socket
from tests.e2e.versioned import VersionedServer, serve

pytestmark = pytest.mark.e2e


@pytest.fixture
def server(tmp_path: Path) -> Iterator[VersionedServer]:
    """A server of the app with the usual options; its log has no error at the end."""
    with serve(tmp_path, HANDLERS) as server:
        yield server
        assert "Traceback" not in server.log
        assert "ERROR" not in server.log


# what a handler sees


def test_the_old_handler_sees_its_client_leave_and_can_tell_why(server: VersionedServer) -> None:
    """It gets 1012 and `hotsession.RELOADED` at a save, so that it need not tell others; another code when it is so."""
    with open_socket(server, "/noting") as socket:
        assert ask(socket, "one") == "one 0.0"
        server.save()
        server.wait_for_mark("0.0 left 1012 reloaded")
        assert ask(socket, "two") == "two 0.1"
        socket.close(1000)
    server.wait_for_mark("0.1 left 1000 for good")
    assert server.marks == ["0.0 left 1012 reloaded", "0.1 left 1000 for good"]


def test_a_close_of_old_cleanup_closes_nothing(server: VersionedServer) -> None:
    """After its disconnect a handler's `close` is swallowed, and its cleanup runs to the end."""
    with open_socket(server, "/closing") as socket:
        assert ask(socket, "one") == "one 0.0"
        server.save()
        server.wait_for_mark("0.0 cleaned")
        assert ask(socket, "two") == "two 0.1"
        server.save("base")
        assert ask(socket, "three") == "three 1.1"


def test_an_answer_under_way_is_finished_first(server: VersionedServer) -> None:
    """Its parts arrive, from old code; frames sent meanwhile wait, and new code answers them in order."""
    server.mark("go on with 2")
    server.mark("go on with 3")
    with open_socket(server, "/answering") as socket:
        assert ask(socket, "1") == "1 begins 0.0"
        socket.send("2")
        new = server.save()
        socket.send("3")
        assert server.alive() == ["0.0", new]
        server.mark("go on with 1")
        told = [hear(socket) for _ in range(8)]
        assert told == [
            "1 goes on 0.0",
            "1 ends 0.0",
            *(f"{number} {part} {new}" for number in (2, 3) for part in ("begins", "goes on", "ends")),
        ]
        server.wait_until_alive(new)


def test_a_save_while_connections_still_move(server: VersionedServer) -> None:
    """Three saves while an answer is under way: the latest code gets the next message, what was between is gone."""
    server.mark("go on with 2")
    with open_socket(server, "/answering") as socket:
        assert ask(socket, "1") == "1 begins 0.0"
        newest = [server.save(), server.save("base"), server.save()][-1]
        socket.send("2")
        server.wait_until_alive("0.0", newest)
        server.mark("go on with 1")
        assert [hear(socket) for _ in range(5)] == [
            "1 goes on 0.0",
            "1 ends 0.0",
            f"2 begins {newest}",
            f"2 goes on {newest}",
            f"2 ends {newest}",
        ]
        server.wait_until_alive(newest)


def test_an_answer_that_takes_longer_than_the_drain_timeout_is_cut(tmp_path: Path) -> None:
    """The connection goes on with new code all the same."""
    with serve(tmp_path, HANDLERS, "--drain-timeout", "0.3") as server, open_socket(server, "/answering") as socket:
        assert ask(socket, "1") == "1 begins 0.0"
        new = server.save()
        socket.send("2")
        assert hear(socket) == f"2 begins {new}"
        server.wait_until_alive(new)


def test_an_answer_that_can_be_stopped_is_not_cut(server: VersionedServer) -> None:
    """A handler that streams from a task and listens for "stop" meanwhile: the answer ends by itself, on old code."""
    with open_socket(server, "/stoppable") as socket:
        socket.send("1")
        server.wait_for_mark("1 is under way")
        new = server.save()
        server.mark("end 1")
        told = [hear(socket)]
        while "done" not in told[-1]:
            told.append(hear(socket))
        assert told == [*(f"1 {part} 0.0" for part in range(len(told) - 1)), "1 done 0.0"]
        server.mark("end 2")
        ask_until(socket, new)
        assert "0.0 was cut" not in server.marks
        server.wait_until_alive(new)


def test_an_answer_can_be_stopped_after_a_save(server: VersionedServer) -> None:
    """The "stop" that is sent after the save reaches the handler whose answer it is."""
    with open_socket(server, "/stoppable") as socket:
        socket.send("1")
        server.wait_for_mark("1 is under way")
        new = server.save()
        told = [ask(socket, "stop")]
        while "stopped" not in told[-1]:
            told.append(hear(socket))
        assert told == [*(f"1 {part} 0.0" for part in range(len(told) - 1)), "stopped 0.0"]
        server.mark("end 2")
        ask_until(socket, new)
        server.wait_until_alive(new)


@pytest.mark.parametrize("path", ["/impatient", "/racing"])
def test_a_handler_that_gives_up_waiting_loses_nothing(server: VersionedServer, path: str) -> None:
    """Messages that arrive while it waits with a timeout, around several saves, are answered once and in order."""
    with open_socket(server, path) as socket, ThreadPoolExecutor(1) as pool:
        saving = pool.submit(lambda: [server.save() for _ in range(3)])
        answers: list[list[str]] = []
        while not saving.done() or len(answers) < 200:
            answers.append(ask(socket, str(len(answers))).split())
        newest = saving.result()[-1]
        assert ask(socket, "last") == f"last {newest}"
    assert [int(number) for number, _ in answers] == [*range(len(answers))]
    assert [version for _, version in answers] == sorted(version for _, version in answers)


@pytest.mark.parametrize("path", ["/pushing", "/silent", "/ignoring", "/lingering"])
def test_a_handler_that_does_not_go_is_moved_in_the_end(tmp_path: Path, path: str) -> None:
    """One that only sends, does nothing, ignores its disconnect or cleans up for ever: after ten seconds."""
    with serve(tmp_path, HANDLERS) as server, open_socket(server, path) as socket:
        if path in ("/ignoring", "/lingering"):
            assert ask(socket, "1") == "1 0.0"
        else:
            assert hear(socket).split()[-1] == "0.0"
        began = time.monotonic()
        new = server.save()
        if path in ("/ignoring", "/lingering"):
            socket.send("2")
        while (told := hear(socket)).split()[-1] == "0.0":
            pass
        assert told == {"/silent": new, "/pushing": f"1 {new}"}.get(path, f"2 {new}")
        assert time.monotonic() - began < 30
        server.wait_until_alive(new)
        assert "Traceback" not in server.log


def test_the_drain_timeout_bounds_how_long_a_handler_is_waited_for(tmp_path: Path) -> None:
    """A handler that only sends is moved when that is over, between two messages, and its cleanup runs."""
    with serve(tmp_path, HANDLERS, "--drain-timeout", "0.3") as server, open_socket(server, "/pushing") as socket:
        assert hear(socket) == "1 0.0"
        began = time.monotonic()
        new = server.save()
        told = []
        while (text := hear(socket)) != f"1 {new}":
            told.append(text)
        assert time.monotonic() - began < 8
        assert told == [f"{number} 0.0" for number in range(2, len(told) + 2)]
        stopped = wait_until(lambda: [mark for mark in server.marks if mark.startswith("0.0 stopped pushing at")])
        assert int(stopped[0].split()[-1]) in (len(told) + 1, len(told) + 2)  # what it sent last, or could not send
        server.wait_until_alive(new)


def test_the_scope_tells_of_the_connection(server: VersionedServer) -> None:
    """Whether it was resumed, on which generation it is, and an id that is the same for the life of the connection."""
    with open_socket(server, "/scoped") as socket, open_socket(server, "/scoped") as other:
        first = json.loads(ask(socket, "a"))
        assert {"connection", "generation", "resumed"} <= {*first["keys"]}
        assert (first["resumed"], first["generation"], first["version"]) == (False, 1, "0.0")
        latest = 1
        for module in ("leaf", "base"):
            version = server.save(module)
            told = json.loads(ask(socket, "b"))
            assert (told["resumed"], told["version"]) == (True, version)
            assert told["generation"] > latest
            latest = told["generation"]
            assert told["connection"] == first["connection"]
            assert json.loads(ask(other, "b"))["connection"] != first["connection"]
        with open_socket(server, "/scoped") as late:
            told = json.loads(ask(late, "c"))
            assert (told["resumed"], told["generation"]) == (False, latest)


def test_a_handler_need_not_greet_again(server: VersionedServer) -> None:
    """Only a client that is new is welcomed: the one that was carried over gets its answers and nothing else."""
    with open_socket(server, "/greeting") as socket:
        assert hear(socket) == "welcome to 0.0"
        new = server.save()
        assert ask(socket, "1") == f"1 {new}"
        with open_socket(server, "/greeting") as late:
            assert hear(late) == f"welcome to {new}"


def test_a_handshake_that_is_open_at_the_swap(server: VersionedServer) -> None:
    """Its client gets one handshake and goes on with new code."""

    def talk() -> list[str]:
        with open_socket(server, "/slow_handshake", open_timeout=DEADLINE) as socket:
            told = [ask(socket, "1")]
            while not told[-1].startswith("1 "):
                told.append(hear(socket))
        return told

    with ThreadPoolExecutor(1) as pool:
        talking = pool.submit(talk)
        server.wait_for_mark("0.0 at the door")
        new = server.save()
        server.mark("open the door")
        told = talking.result(DEADLINE)
    assert told[-1] == f"1 {new}"
    assert {*told[:-1]} <= {"0.0", new}
    server.wait_until_alive(new)


def ask_until(socket: ClientConnection, version: str) -> None:
    """Ask a stoppable handler at the pace of a person until the code of this version answers."""

    def answered() -> bool:
        time.sleep(0.7)
        answer = ask(socket, "2"), hear(socket)
        assert answer in [("2 0 0.0", "2 done 0.0"), (f"2 0 {version}", f"2 done {version}")]
        return answer[0].endswith(version)

    wait_until(answered, what=f"an answer by {version}")


# what the client does meanwhile


def test_clients_that_leave_during_the_swap(server: VersionedServer) -> None:
    """Forty clients close, or break off, around a save: nothing is logged, nothing of the old code stays."""
    paths = ("/talk", "/closing", "/impatient", "/pushing")

    def leave(number: int, socket: ClientConnection) -> None:
        time.sleep(number * 0.002)  # spread over the save
        if number % 8 < 4:
            socket.close()
        else:
            socket.socket.close()

    with contextlib.ExitStack() as stack, ThreadPoolExecutor(40) as pool:
        sockets = [stack.enter_context(open_socket(server, paths[number % 4])) for number in range(40)]
        leaving = [pool.submit(leave, number, socket) for number, socket in enumerate(sockets)]
        new = server.save()
        for each in leaving:
            each.result(DEADLINE)
    server.wait_until_alive(new)
    with open_socket(server, "/talk") as socket:
        assert ask(socket, "1") == f"1 {new}"


def test_a_client_that_leaves_while_its_answer_is_finished(server: VersionedServer) -> None:
    """The old handler finishes, new code is not called for a connection that is gone."""
    with open_socket(server, "/answering") as socket:
        assert ask(socket, "1") == "1 begins 0.0"
        new = server.save()
    server.mark("go on with 1")
    server.wait_until_alive(new)


def test_a_broken_save_moves_nobody(tmp_path: Path) -> None:
    """The connection goes on with the code that serves, and moves when the code is mended."""
    with serve(tmp_path, HANDLERS) as server, open_socket(server, "/talk") as socket:
        for broken in ("def version(:\n", "raise RuntimeError('broken')\n"):
            good = (server.directory / "leaf.py").read_text()
            since = len(server.log)
            server.write("leaf.py", broken)
            server.wait_for_line("Not reloaded", since=since, timeout=DEADLINE)
            assert ask(socket, "1") == "1 0.0"
            server.write("leaf.py", good)
        new = server.save()
        assert ask(socket, "2") == f"2 {new}"
        server.wait_until_alive(new)


def test_connections_move_with_stop_first(tmp_path: Path) -> None:
    """Where the old app ends before the new one starts, sockets go on as well, also through a start-up that fails."""
    lifespan = """
        import contextlib
        from starlette.applications import Starlette
        from starlette.routing import Mount, WebSocketRoute
        from leaf import version
        from tell import marks, tell

        @contextlib.asynccontextmanager
        async def lifespan(app):
            marks.append(f"{version()} starts")
            if version() == "0.1":
                raise RuntimeError("it does not start")
            yield
            marks.append(f"{version()} ends")

        async def talk(socket):
            await socket.accept()
            async for text in socket.iter_text():
                await socket.send_text(f"{text} {version()}")

        app = Starlette(routes=[Mount("/tell", tell), WebSocketRoute("/talk", talk)], lifespan=lifespan)
    """
    with (
        serve(tmp_path, lifespan, "--handover", "stop-first") as server,
        open_socket(server, "/talk") as socket,
    ):
        assert ask(socket, "1") == "1 0.0"
        server.edit("leaf.py", "LEAF = 0", "LEAF = 1")
        server.wait_for_line("Not reloaded: the new app could not start up", timeout=DEADLINE)
        assert ask(socket, "2") == "2 0.0"
        server.edit("leaf.py", "LEAF = 1", "LEAF = 2")
        wait_until(lambda: server.version == "0.2", DEADLINE)
        assert ask(socket, "3") == "3 0.2"
        assert server.marks == ["0.0 starts", "0.0 ends", "0.1 starts", "0.0 starts", "0.0 ends", "0.2 starts"]
        server.wait_until_alive("0.2")


@pytest.mark.parametrize("path", ["/talk", "/pushing", "/silent", "/ignoring", "/lingering"])
def test_stopping_closes_what_was_carried_over(server: VersionedServer, path: str) -> None:
    """Ctrl+C closes it with 1012 at once, whatever its handler does."""
    with open_socket(server, path) as socket:
        server.save()
        began = time.monotonic()
        server.interrupt()
        assert close_of(socket)[0] == 1012
        assert time.monotonic() - began < 5
        server.process.wait(DEADLINE)


def test_a_restart_of_the_process_closes_what_was_carried_over(server: VersionedServer) -> None:
    """It can't take a socket along: its clients get 1012 at once, and find the new code when they come back."""
    with open_socket(server, "/talk") as socket:
        new = server.save()
        assert ask(socket, "1") == f"1 {new}"
        server.write("base.py", "import hotsession\nhotsession.module(__name__).invalidate('it has to be')\nBASE = 0\n")
        began = time.monotonic()
        assert close_of(socket)[0] == 1012
        assert time.monotonic() - began < 15
    with open_socket(server, "/talk", open_timeout=DEADLINE) as socket:
        assert ask(socket, "2") == f"2 {new}"


def test_a_swap_costs_no_handshake(server: VersionedServer) -> None:
    """A path that is not there is refused as ever: only what was open moves."""
    server.save()
    with pytest.raises(InvalidStatus) as refused, open_socket(server, "/nowhere"):
        pass
    assert refused.value.response.status_code == 403
