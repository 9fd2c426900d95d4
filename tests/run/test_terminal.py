from __future__ import annotations

import bdb
import io
import os
import pty
import sys
import termios
import threading
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

import pytest

from hotsession.run import terminal
from tests.deadlines import DEADLINE


@pytest.fixture
def tty() -> Iterator[int]:
    """The program's side of a terminal."""
    master, slave = pty.openpty()
    yield slave
    os.close(slave)
    os.close(master)


def silence(fd: int) -> None:
    """Turn the echo off, as a password prompt does."""
    mode = termios.tcgetattr(fd)
    mode[3] &= ~termios.ECHO
    termios.tcsetattr(fd, termios.TCSANOW, mode)


def test_only_a_terminal_counts(monkeypatch: pytest.MonkeyPatch, tty: int) -> None:
    """Standard input that is a pipe, closed, or not there is no terminal."""
    with os.fdopen(tty, closefd=False) as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        assert terminal.terminal() == tty
    for other in (None, io.StringIO(), stdin):
        monkeypatch.setattr(sys, "stdin", other)
        assert terminal.terminal() is None


def test_a_terminal_that_is_not_ours_is_not_read(tty: int) -> None:
    """This process is not in the foreground of somebody else's terminal, nor of a file."""
    assert not terminal.in_foreground(tty)
    with Path(os.devnull).open() as null:
        assert not terminal.in_foreground(null.fileno())
        assert not terminal.takes_lines(null.fileno())


def test_a_password_prompt_takes_no_lines_of_ours(tty: int) -> None:
    """Without echo somebody else is reading."""
    assert terminal.takes_lines(tty)
    silence(tty)
    assert not terminal.takes_lines(tty)


def test_the_terminal_is_put_back(tty: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a killed worker left is undone in the foreground, and left alone in the background."""
    with terminal.restored(tty) as restore:
        silence(tty)
        restore()
        assert not terminal.takes_lines(tty)
        monkeypatch.setattr(terminal, "in_foreground", lambda fd: True)
        restore()
        assert terminal.takes_lines(tty)
    with terminal.restored(None) as restore:
        restore()


class Stepper(bdb.Bdb):
    """A debugger that steps from line to line until it is told to continue."""

    going_on = False

    def user_line(self, frame: FrameType) -> None:
        if self.going_on:
            self.set_continue()
        else:
            self.set_next(frame)


def test_a_debugger_in_another_thread_is_noticed() -> None:
    """While one steps through a thread it is active; after `continue` it is not, although the thread lives on."""
    seen: list[bool] = []
    end = threading.Event()

    def work() -> None:
        debugger = Stepper()
        debugger.set_trace()
        seen.append(terminal.debugger_active())
        debugger.going_on = True
        seen.append(terminal.debugger_active())
        end.wait(DEADLINE)

    assert not terminal.debugger_active()
    thread = threading.Thread(target=work)
    thread.start()
    try:
        while len(seen) < 2:
            thread.join(0.01)
        assert seen == [True, False]
        assert not terminal.debugger_active()
    finally:
        end.set()
        thread.join()


def test_readers_are_counted_while_they_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """`input`, and all ways to read from sys.stdin, count from their start to their end."""
    readers = terminal.Readers()
    read_end, write_end = os.pipe()
    with os.fdopen(read_end) as stdin, os.fdopen(write_end, "w") as typed:
        monkeypatch.setattr(sys, "stdin", stdin)
        monkeypatch.setattr("builtins.input", lambda prompt: stdin.readline())
        readers.install()
        for read in (lambda: input(), sys.stdin.readline, lambda: next(iter(sys.stdin))):
            thread = threading.Thread(target=read)
            thread.start()
            while not readers and thread.is_alive():
                thread.join(0.01)
            assert readers
            typed.write("line\n")
            typed.flush()
            thread.join()
            assert not readers
