"""The store: records, their indexes, the table, and several processes at one snapshot."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections.abc import Iterator
from enum import StrEnum
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotsession.lifecycle.record import NEXT, Record
from hotsession.snapshot import listing
from hotsession.snapshot.errors import SnapshotFull, SnapshotUnusable
from hotsession.snapshot.store import Store, open_store
from tests.deadlines import DEADLINE
from tests.effort import times
from tests.snapshot.stores import line, mounted, process, record


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    path = tmp_path / "snapshot"
    path.mkdir(mode=0o700)
    return path


@pytest.fixture
def store(directory: Path) -> Iterator[Store]:
    opened = open_store(directory)
    yield opened
    opened.close()


TEXT = st.text(st.characters(), min_size=1, max_size=300)
TIMES = st.floats(-1e10, 1e12)
FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "id": TEXT,
    "manager": TEXT,
    "key": st.none() | TEXT | st.lists(TEXT, min_size=1, max_size=3).map(tuple),
    "status": st.sampled_from(tuple(NEXT)),
    "reason": st.none() | TEXT,
    "version": st.integers(0, 2**70),
    "created_at": TIMES,
    "updated_at": TIMES,
    "last_seen_at": TIMES,
    "expires_at": st.none() | TIMES,
    "token_hash": st.none() | st.binary(min_size=1, max_size=300),
    "token_expires_at": st.none() | TIMES,
    "payload": st.none(),
}
RECORDS = st.fixed_dictionaries(FIELDS).map(lambda fields: Record(**fields))


def test_any_record_comes_back_as_it_was_written(store: Store) -> None:
    """Whatever strings and times a record has, it is read and found as it was, with its payload and its writer."""

    @given(RECORDS, st.binary(max_size=5000))
    def comes_back(written: Record, payload: bytes) -> None:
        store.clear()
        assert store.write(written, payload)
        assert store.read(written.id) == (written, payload, store.number)
        assert store.header(written.id) == written
        assert store.list(written.manager, -1e11) == [written]
        if written.is_live and written.key is not None:
            assert store.find_key(written.manager, written.key) == written.id
        if written.is_live and written.token_hash is not None:
            assert store.find_token(written.manager, written.token_hash) == written.id

    comes_back()


def test_what_is_not_there_is_nothing_rather_than_an_error(store: Store) -> None:
    """Every question about what is missing has an empty answer."""
    assert store.read("no") is None
    assert store.header("no") is None
    assert store.find_key("m", ("a", "b")) is None
    assert store.find_token("m", b"hash") is None
    assert store.list("m", 0.0) == []
    assert store.list("m", 0.0, status="expired", limit=3) == []
    assert store.count("m") == 0
    assert store.expired(1e9, 10) == []
    assert store.delete(["no"]) == 0
    assert store.clear() == store.clear("m") == 0
    assert store.get(b"no") is None
    assert store.items(b"") == []
    assert store.others() == ()


class Model:
    """What the store must answer, from a plain dict."""

    def __init__(self) -> None:
        self.records: dict[str, Record] = {}

    def list(self, manager: str, now: float, **wanted: Any) -> list[str]:
        found = [each for each in self.records.values() if each.manager == manager]
        if "status" in wanted:
            found = [e for e in found if wanted["status"] == ("expired" if e.is_expired(now) else e.status)]
        if "key" in wanted:
            found = [each for each in found if each.key == wanted["key"]]
        return [each.id for each in sorted(found, key=lambda each: (each.created_at, each.id), reverse=True)]

    def count(self, manager: str) -> int:
        return sum(each.is_live for each in self.records.values() if each.manager == manager)


FEW = st.builds(
    record,
    st.sampled_from("abcdef"),
    manager=st.sampled_from(["one", "two"]),
    key=st.sampled_from([None, "k", ("k", "l")]),
    status=st.sampled_from(tuple(NEXT)),
    created_at=st.sampled_from([1.0, 2.0, 3.0]),
    expires_at=st.sampled_from([None, 5.0, 10.0, 20.0]),
    token_hash=st.sampled_from([None, b"t1", b"t2"]),
)
STEPS = st.lists(FEW | st.sampled_from("abcdef") | st.sampled_from([5.0, 12.0]), max_size=40)


def test_the_indexes_say_what_the_records_say(store: Store) -> None:
    """After any writes, deletions and searches for expired ones, every list and count is what a plain dict says."""

    @given(STEPS)
    def agree(steps: list[Record | str | float]) -> None:
        store.clear()
        model = Model()
        for step in steps:
            if isinstance(step, Record):
                store.write(step, b"payload")
                model.records[step.id] = step
            elif isinstance(step, str):
                assert store.delete([step]) == (model.records.pop(step, None) is not None)
            else:
                overdue = [e for e in model.records.values() if e.is_live and e.is_expired(step)]
                found = store.expired(step, 100)
                assert sorted(found) == sorted(overdue)
        for manager in ("one", "two"):
            assert store.count(manager) == model.count(manager)
            for now in (0.0, 10.0):
                assert [e.id for e in store.list(manager, now)] == model.list(manager, now)
                for status in NEXT:
                    found = store.list(manager, now, status=status)
                    assert [e.id for e in found] == model.list(manager, now, status=status)
                for key in ("k", ("k", "l")):
                    assert [e.id for e in store.list(manager, now, key=key)] == model.list(manager, now, key=key)

    agree()


def test_a_list_has_its_limit_after_its_filters(store: Store) -> None:
    """The limit counts what is returned, not what is looked at."""
    store.write_many((record(str(i), created_at=float(i), key=f"k{i % 2}"), b"") for i in range(10))
    assert [each.id for each in store.list("sessions", 0.0, key="k1", status="active", limit=2)] == ["9", "7"]


def test_the_last_claim_of_a_key_counts(store: Store) -> None:
    """When another record takes over a key and a token, the end of the first does not take them away again."""
    first = record("1", key="k", token_hash=b"t")
    store.write(first, b"")
    store.write(record("2", key="k", token_hash=b"t"), b"")
    store.write(first._replace(status="ended", token_hash=None), b"")
    assert store.find_key("sessions", "k") == "2"
    assert store.find_token("sessions", b"t") == "2"
    assert store.count("sessions") == 1


def test_a_new_token_makes_the_old_one_useless(store: Store) -> None:
    """A rotated token is found, the one before no longer."""
    store.write(record(token_hash=b"old"), b"")
    store.write(record(token_hash=b"new"), b"")
    assert store.find_token("sessions", b"old") is None
    assert store.find_token("sessions", b"new") == "1"


def test_an_ordinary_write_touches_no_entry(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """New data and a later expiry cost one put; an earlier expiry and a new status change the entries."""
    changes: list[Record | None] = []
    relist = listing.relist

    def noted(transaction: Any, before: Any, old_bound: float, after: Record | None, bound: float) -> None:
        changes.append(after)
        relist(transaction, before, old_bound, after, bound)

    monkeypatch.setattr(listing, "relist", noted)
    store.write(record(expires_at=50.0), b"a")
    store.write(record(expires_at=60.0, version=2, last_seen_at=9.0, reason="because"), b"b")
    store.write(record(expires_at=None, version=3), b"c")
    assert len(changes) == 1
    store.write(record(expires_at=40.0), b"d")
    store.write(record(expires_at=40.0, status="paused"), b"d")
    assert len(changes) == 3


def test_expired_ones_come_longest_overdue_first(store: Store) -> None:
    """Those whose time is over are returned by when it was, the limit first applied to them, again until written."""
    store.write_many((record(str(i), expires_at=100.0 - i), b"") for i in range(10))
    assert [each.id for each in store.expired(99.5, 3)] == ["9", "8", "7"]
    assert [each.id for each in store.expired(99.5, 100)] == list("987654321")
    store.write(record("9", expires_at=91.0, status="expired"), b"")
    assert [each.id for each in store.expired(99.5, 3)] == ["8", "7", "6"]


def test_what_was_put_off_is_found_at_its_new_time(store: Store) -> None:
    """However many were seen again meanwhile, what is over is found after a few calls, and the others later."""
    store.write_many((record(str(i), expires_at=10.0), b"x" * 100) for i in range(2500))
    store.write_many((record(str(i), expires_at=30.0), b"y" * 100) for i in range(2500))
    store.write(record("late", expires_at=15.0), b"")
    calls = [[each.id for each in store.expired(20.0, 5)] for _ in range(4)]
    assert calls == [[], [], ["late"], ["late"]]
    assert len(store.expired(30.0, 5000)) == 2501
    assert store.read("7") == (record("7", expires_at=30.0), b"y" * 100, 1)


def test_strings_and_numbers_of_other_types_are_stored_plain(store: Store) -> None:
    """An enum as a key and a float of another class do no harm."""

    class Name(StrEnum):
        ANN = "ann"

    class Time(float):
        pass

    store.write(record(key=(Name.ANN, "tab"), manager=Name.ANN, created_at=Time(5)), b"")
    found = store.header("1")
    assert found is not None
    assert (found.key, found.created_at) == (("ann", "tab"), 5.0)
    assert store.find_key("ann", ("ann", "tab")) == store.find_key(Name.ANN, (Name.ANN, "tab")) == "1"


def test_clear_forgets_one_manager_or_all(store: Store) -> None:
    """Records of one manager go, with all that finds them; the table stays even when all go."""
    for manager in ("one", "two"):
        store.write(record(f"{manager}1", manager=manager, key="k", expires_at=5.0), b"")
        store.write(record(f"{manager}2", manager=manager, status="ended"), b"")
    store.put({b"kept": b"value"})
    assert store.clear("one") == 1
    assert store.list("one", 0.0) == []
    assert [each.id for each in store.expired(9.0, 9)] == ["two1"]
    assert store.clear() == 1
    assert store.count("two") == 0
    assert store.find_key("two", "k") is None
    assert store.items(b"") == [(b"kept", b"value")]


def test_the_table_holds_bytes_under_keys_of_any_length(store: Store) -> None:
    """Items are stored, replaced and deleted; prefixes find them in order; a long key is as good as a short one."""
    long = b"a" * 399
    store.put({b"a": b"1", b"b": b"", long: b"3", long + b"x" * 600: b"4", long + b"x" * 601: b"5", b"": b"6"})
    assert store.get(b"a") == b"1"
    assert store.get(b"b") == b""
    assert store.get(b"") == b"6"
    assert store.get(long + b"x" * 601) == b"5"
    assert store.items(long + b"x" * 601) == [(long + b"x" * 601, b"5")]
    assert [value for _, value in store.items(b"a")] == [b"1", b"3", b"4", b"5"]
    store.put({b"a": None, b"b": b"new", b"gone": None, long + b"x" * 600: None})
    assert store.items(b"") == [(b"", b"6"), (long, b"3"), (long + b"x" * 601, b"5"), (b"b", b"new")]


def test_a_damaged_payload_counts_as_missing(directory: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Noise inside one payload loses that session alone: it is named, and its bytes never reach the unpickler."""
    store = open_store(directory)
    store.write(record("good"), b"fine" * 1000)
    store.write(record("bad"), b"PAYLOAD!" * 1000)
    store.close()
    data = (directory / "data.mdb").read_bytes()
    (directory / "data.mdb").write_bytes(data.replace(b"PAYLOAD!" * 900, b"NOISE..." * 900))
    store = open_store(directory)
    assert store.read("bad") is None
    assert "bad is damaged" in caplog.text
    assert store.read("good") == (record("good"), b"fine" * 1000, 1)
    assert store.write(record("bad"), b"whole again")
    assert store.read("bad") == (record("bad"), b"whole again", 2)
    store.close()


def test_a_damaged_header_counts_as_missing(directory: Path) -> None:
    """Noise in a header never reaches marshal; the record can be written anew."""
    store = open_store(directory)
    store.write(record("bad", manager="MANAGER!", key="k"), b"")
    store.close()
    data = (directory / "data.mdb").read_bytes()
    assert data.count(b"MANAGER!")
    (directory / "data.mdb").write_bytes(data.replace(b"MANAGER!", b"\xff" * 8))
    store = open_store(directory)
    assert store.read("bad") is None
    assert store.header("bad") is None
    assert store.find_key("MANAGER!", "k") is None
    assert store.list("MANAGER!", 0.0) == []
    assert store.write(record("bad", manager="MANAGER!"), b"")
    assert [each.id for each in store.list("MANAGER!", 0.0)] == ["bad"]
    store.close()


def test_threads_write_side_by_side(store: Store) -> None:
    """What several threads write and read at once is all there, and counted."""

    def work(name: str) -> None:
        for i in range(200):
            store.write(record(f"{name}{i}"), name.encode() * 1000)
            assert store.header(f"{name}{i}")

    threads = [threading.Thread(target=work, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert store.count("sessions") == len(store.list("sessions", 0.0)) == 800


def test_a_signal_handler_may_write(store: Store) -> None:
    """A handler that interrupts a write in its own thread does not hang, and what it writes is there after that."""
    handled: list[str] = []
    numbers = count()

    def handler(*_: object) -> None:
        name = f"handler{next(numbers)}"  # handlers interrupt each other as well
        store.write(record(name), b"x" * 2000)
        store.put({name.encode(): b"put"})
        handled.append(name)

    before = signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
    try:
        for i in range(5000):
            store.write(record(f"main{i % 50}"), b"y" * 2000)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert len(handled) > 20
    assert [name for name in handled if store.header(name) is None] == []
    assert len(store.items(b"handler")) == len(handled)


def test_a_write_inside_a_write_is_done_after_it(store: Store) -> None:
    """What is put off because its thread is in the middle of a transaction is done after that; so is a close."""
    with store._environment._engine.begin(None, None, True, True):
        assert store.write(record("late"), b"payload")
        store.close()
        assert store.header("late") is None
    store.put({b"next": b""})
    with pytest.raises(SnapshotUnusable, match="is closed"):
        store.header("late")


def test_the_map_grows_when_it_is_full(directory: Path) -> None:
    """Beyond the address space that it began with the snapshot grows, while other threads read and write."""
    store = open_store(directory, map_size=1 << 20)
    failures: list[BaseException] = []

    def work(name: str) -> None:
        try:
            for i in range(60):
                store.write(record(f"{name}{i}"), os.urandom(50_000))
                assert store.read(f"{name}{i}")
        except BaseException as error:
            failures.append(error)
            raise

    threads = [threading.Thread(target=work, args=(name,)) for name in "abc"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert store.count("sessions") == 180
    assert store.size > 180 * 50_000
    store.close()


@pytest.mark.e2e
def test_a_map_that_another_process_made_grow_is_followed(directory: Path) -> None:
    """What a process with more address space wrote beyond ours is read all the same."""
    store = open_store(directory, map_size=1 << 20)
    with process(
        "store = open_store(directory)\nstore.write(record('big'), b'x' * 5_000_000)\nsay('done')", directory
    ) as p:
        assert line(p) == "done"
    found = store.read("big")
    assert found is not None
    assert len(found[1]) == 5_000_000
    assert store.write(record("2"), b"")
    store.close()


@pytest.mark.e2e
def test_less_address_space_is_enough(directory: Path) -> None:
    """Where a process may not have 16 GiB of addresses it takes less."""
    code = """
import resource
resource.setrlimit(resource.RLIMIT_AS, (2 << 30, 2 << 30))
store = open_store(directory)
store.write(record(), b"payload")
say(store.read("1")[1])
"""
    with process(code, directory) as started:
        assert line(started) == "b'payload'"


def test_each_opening_has_a_higher_number(directory: Path) -> None:
    """The number of a worker is one more than any before, and stands in what it writes."""
    for number in (1, 2, 3):
        store = open_store(directory)
        assert store.number == number
        store.write(record(str(number)), b"")
        store.close()
    store = open_store(directory)
    assert [found[2] for i in "123" if (found := store.read(i))] == [1, 2, 3]
    store.close()


@pytest.mark.e2e
def test_how_the_last_worker_ended_is_known(directory: Path) -> None:
    """None before the first and while it runs, tidy after a close or an announced end, abrupt after kill -9."""
    with process(
        "store = open_store(directory)\nsay(store.previous)\nsys.stdin.readline()\nstore.close()\nsay('x')", directory
    ) as p:
        assert line(p) == "None"
        running = open_store(directory)
        assert running.previous is None
        running.close()
        p.communicate("\n")
    told = "store = open_store(directory)\nsay(store.previous)\nstore.told_to_end()\nos._exit(0)"
    abrupt = "store = open_store(directory)\nsay(store.previous)\nos.kill(os.getpid(), 9)"
    for code, expected in (
        (told, "tidy"),
        (abrupt, "tidy"),
        (told, "abrupt"),
        ("say(open_store(directory).previous)", "tidy"),
    ):
        with process(code, directory) as p:
            assert line(p) == expected
            p.wait()


@pytest.mark.e2e
def test_a_later_worker_is_not_overwritten(directory: Path) -> None:
    """A draining worker can't undo what the next one wrote; what that has not touched it may still write."""
    store = open_store(directory)
    store.write(record("both"), b"old")
    store.write(record("mine"), b"old")
    code = "store = open_store(directory)\nstore.write(record('both'), b'new')\nsay(os.getpid())\nsys.stdin.readline()"
    with process(code, directory) as p:
        pid = int(line(p))
        (other,) = store.others()
        assert (other.number, other.pid) == (2, pid)
        assert store.write(record("both", version=2, status="paused"), b"older") is False
        assert store.write_many([(record("both"), b"older"), (record("mine"), b"older")]) == 1
        assert store.read("both") == (record("both"), b"new", 2)
        assert store.read("mine") == (record("mine"), b"older", 1)
    store._others_at = 0.0  # a second later
    assert store.others() == ()
    store.close()


@pytest.mark.e2e
def test_a_later_worker_that_only_looked_keeps_nobody_from_writing(directory: Path) -> None:
    """It notes that a session was asked for; a change of the one that drains is written nevertheless, and seen."""
    store = open_store(directory)
    store.write(record(), b"old")
    code = (
        "store = open_store(directory)\nsay(store.write(record(last_seen_at=2000.0), b'old'))\n"
        "sys.stdin.readline()\nsay(store.read('1')[1:])\n"
        "say(store.write(record(version=3), b'new'))\nsys.stdin.readline()"
    )
    with process(code, directory) as p:
        assert line(p) == "True"
        assert store.read("1") == (record(last_seen_at=2000.0), b"old", 1)
        assert store.write(record(version=2), b"older")
        assert p.stdin is not None
        print(file=p.stdin, flush=True)
        assert line(p) == "(b'older', 1)"
        assert line(p) == "True"
        assert not store.write(record(version=4), b"oldest")
    store.close()


@pytest.mark.e2e
def test_two_processes_open_and_write_at_once(directory: Path) -> None:
    """Processes that open the same new snapshot at once get different numbers, and all their writes stay."""
    code = """
store = open_store(directory)
for i in range(500):
    store.write(record(f"{store.number}-{i}"), b"x" * 3000)
say(store.number)
store.close()
"""
    with process(code, directory) as one, process(code, directory) as two, process(code, directory) as three:
        numbers = {line(each) for each in (one, two, three)}
    assert numbers == {"1", "2", "3"}
    store = open_store(directory)
    assert store.count("sessions") == len(store.list("sessions", 0.0)) == 1500
    store.close()


@pytest.mark.e2e
def test_everything_acknowledged_survives_kill_9(directory: Path) -> None:
    """Killed at any moment in a loop of writes, a process leaves all that was acknowledged; its successor goes on."""
    code = """
store = open_store(directory)
i = int(store.get(b"counter") or 0)
while True:
    i += 1
    store.write(record(str(i % 97), status="active" if i % 3 else "paused", expires_at=float(i)), b"%d" % i * 500)
    store.put({b"counter": b"%d" % i})
    say(i)
"""
    for killed_after in range(1, 200, times(50, 13)):
        with process(code, directory) as p:
            for _ in range(killed_after):
                acknowledged = int(line(p))
            p.kill()
            assert p.stdout is not None
            rest = p.stdout.read().split("\n")[:-1]
        acknowledged = int(rest[-1]) if rest else acknowledged
        store = open_store(directory)
        assert store.previous == "abrupt"
        counter = int(store.get(b"counter") or 0)
        assert acknowledged <= counter <= acknowledged + 1
        found = store.read(str(counter % 97))
        assert found is not None
        assert found[1] in (b"%d" % counter * 500, b"%d" % (counter + 97) * 500)
        assert store.count("sessions") == len(store.list("sessions", -1.0))
        store.close()


def test_a_forked_child_can_not_use_its_parents_snapshot(store: Store) -> None:
    """The child is told so, closing and ending do no harm, and the parent's transactions go on."""
    store.write(record(), b"before")
    transaction = store._environment._engine.begin(None, None, True, False)
    child = os.fork()
    if not child:
        status = 1
        try:
            store.write(record(), b"child")
        except SnapshotUnusable as error:
            status = 0 if "forked child" in str(error) else 2
            store.close()
        finally:
            os._exit(status)
    assert os.waitpid(child, 0)[1] == 0
    transaction.put(b"tparent", b"\0\0\0\0")
    transaction.commit()
    assert store.read("1") == (record(), b"before", 1)
    assert store.write(record(), b"after")


@pytest.mark.e2e
def test_a_forked_child_ends_while_its_parent_writes(directory: Path) -> None:
    """The end of a child that was forked amid another thread's transaction waits for nothing, and spoils nothing."""
    code = """
import threading, warnings
warnings.simplefilter("ignore")  # that there are threads
store = open_store(directory)
entered, leave = threading.Event(), threading.Event()
def write():
    with store._environment._engine.begin(write=True) as transaction:
        entered.set()
        leave.wait()
        transaction.put(b"tparent", b"\\0\\0\\0\\0")
thread = threading.Thread(target=write)
thread.start()
entered.wait()
child = os.fork()
if not child:
    sys.exit(0)
say(os.waitpid(child, 0)[1])
leave.set()
thread.join()
say(store.write(record(), b"after"))
store.close()
"""
    with process(code, directory) as p:
        assert (line(p), line(p)) == ("0", "True")
        assert p.wait(DEADLINE) == 0
    store = open_store(directory)
    assert store.previous == "tidy"
    assert store.read("1") == (record(), b"after", 1)
    store.close()


def fits(store: Store, written: Record) -> bool:
    """Write a record; False if there is no room for it."""
    try:
        return store.write(written, b"x" * 5000)
    except SnapshotFull:
        return False


def test_a_full_tmpfs_stops_writes_only(tmp_path: Path) -> None:
    """With no room left a write says so, everything written is readable, and with room again writes go on."""
    with mounted(tmp_path / "small", "size=2m") as directory:
        store = open_store(directory)
        written = 0
        while fits(store, record(str(written), key=f"k{written}")):
            written += 1
        assert 100 < written < 1000
        for i in range(written):
            assert store.read(str(i)) == (record(str(i), key=f"k{i}"), b"x" * 5000, 1)
        assert store.count("sessions") == written
        with pytest.raises(SnapshotFull, match="no room left"):
            store.put({b"big": b"x" * 100_000})
        subprocess.run(["mount", "-o", "remount,size=4m", directory], check=True)
        assert store.write(record("again"), b"x" * 5000)
        store.put({b"big": b"x" * 100_000})
        store.close()


@pytest.mark.e2e
@pytest.mark.parametrize("room", [0, 4096, 16384, 20480, 24576])
def test_a_snapshot_in_a_full_tmpfs_is_refused_without_a_bus_error(tmp_path: Path, room: int) -> None:
    """Where there is no room at all the opening says so; the lock file is not touched blindly."""
    with mounted(tmp_path / "full", "size=1m") as directory:
        ballast = os.open(directory / "ballast", os.O_WRONLY | os.O_CREAT)
        free = os.statvfs(directory).f_bavail * os.statvfs(directory).f_frsize
        os.posix_fallocate(ballast, 0, free - room)
        os.close(ballast)
        code = """
from hotsession.snapshot.errors import SnapshotUnusable
try:
    open_store(directory)
except SnapshotUnusable as error:
    say(error)
"""
        with process(code, directory) as p:
            assert "room" in line(p)
            assert p.wait() == 0


def test_a_closed_store_says_so(directory: Path) -> None:
    """After the close, which may come twice, every method says that it is closed."""
    store = open_store(directory)
    assert "number=1" in repr(store)
    store.close()
    store.close()
    assert "closed" in repr(store)
    for call in (
        lambda: store.read("1"),
        lambda: store.write(record(), b""),
        lambda: store.put({}),
        lambda: store.count("m"),
    ):
        with pytest.raises(SnapshotUnusable, match="is closed"):
            call()
