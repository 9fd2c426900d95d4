from __future__ import annotations

import socket
import threading

from hotsession.run.channel import WorkerChannel, decode, encode


def test_what_is_sent_arrives_as_it_was() -> None:
    """A message is its kind and its fields, whatever characters are in them."""
    assert decode(encode("reset", id=1, name="ä\nb")) == {"kind": "reset", "id": 1, "name": "ä\nb"}


def test_messages_from_several_threads_stay_whole() -> None:
    """Each message is one line even when many threads send at once."""
    ours, theirs = socket.socketpair()
    with ours, theirs, ours.makefile("rb") as lines:
        channel = WorkerChannel(theirs)
        threads = [threading.Thread(target=channel.send, args=("note",), kwargs={"n": n}) for n in range(20)]
        for each in threads:
            each.start()
        assert sorted(decode(lines.readline())["n"] for _ in range(20)) == list(range(20))
        for each in threads:
            each.join()


def test_the_end_of_the_parent_is_no_message() -> None:
    """When the other end is closed, also in the middle of a line, None is received and sending does not raise."""
    ours, theirs = socket.socketpair()
    with theirs:
        channel = WorkerChannel(theirs)
        ours.sendall(encode("accept") + b'{"kind": "st')
        ours.close()
        assert channel.receive() == {"kind": "accept"}
        assert channel.receive() is None
        channel.send("ready", loaded=True)
