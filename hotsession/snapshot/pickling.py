"""Any value as bytes, without what can't be pickled. It knows no store and no session.

The fast way is plain pickle, and costs next to nothing more. Where that fails the careful way takes over: code goes
by its name or, if it has none, by value (cloudpickle), and what can't go is left out alone (`survey`).

The bytes say themselves how they are read. Those of the fast way are a plain pickle, which begins with 0x80; those of
the careful way have a `Heading` before it.
"""

from __future__ import annotations

import io
import pickle
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple, TypeVar

from hotsession.living.classes import living
from hotsession.snapshot.places import LeftOut
from hotsession.snapshot.references import IsOwn, Reducer, Reduction, default_is_own, for_pickle, is_race
from hotsession.snapshot.shaped import Recorder, may_hold_objects, written_shapes
from hotsession.snapshot.survey import Survey, TooSlow, type_name

__all__ = ["Heading", "LeftOut", "Pickled", "TooSlow", "pickled"]

Result = TypeVar("Result")

_dumps = pickle.dumps
_new = tuple.__new__
_DEPTHS = (sys.maxsize, 4000, 2000, 1000, 500, 250, 120, 60, 30)  # tried until pickle's recursion fits in the stack
_ROUNDS = 30


class Pickled(NamedTuple):
    """A value as bytes.

    Args:
        data: what `unpickled` reads; empty if the value itself can't go.
        left_out: what is not in there.
        careful: the fast way fails for this value: next time ask for the careful one at once.
    """

    data: bytes
    left_out: tuple[LeftOut, ...]
    careful: bool


class Heading(NamedTuple):
    """What is written before a pickle that takes more than `pickle.loads`.

    Args:
        code: the pickle holds compiled code, of `python`.
        stand_ins: it marks containers that stand in for others as persistent.
        python: the minor version of Python that wrote it.
        shapes: those of the app's classes whose objects are in there, as `shaped` writes them.
    """

    code: bool
    stand_ins: bool
    python: int = sys.version_info.minor
    shapes: bytes = b""

    def __bytes__(self) -> bytes:
        flags = self.code | self.stand_ins << 1 | bool(self.shapes) << 2
        shapes = len(self.shapes).to_bytes(4) + self.shapes if self.shapes else b""
        return bytes((_MARK, flags, self.python)) + shapes

    @classmethod
    def split(cls, data: bytes) -> tuple[Heading, bytes]:
        """The heading of `data` and the pickle below it."""
        if len(data) < 3 or data[0] != _MARK:
            return _NO_HEADING, data
        begin = 3
        shapes = b""
        if data[1] & 4:
            begin = 7 + int.from_bytes(data[3:7])
            shapes = data[7:begin]
        return cls(bool(data[1] & 1), bool(data[1] & 2), data[2], shapes), data[begin:]


_MARK = 0x01  # no pickle begins with it
_NO_HEADING = Heading(code=False, stand_ins=False)


def pickled(
    value: Any, *, careful: bool = False, time_limit: float | None = None, is_own: IsOwn | None = None
) -> Pickled:
    """`value` as bytes.

    Threads may change the value meanwhile: it is tried again until it holds still.

    Args:
        value: anything.
        careful: begin with the careful way, since the fast one is known to fail.
        time_limit: seconds after which it gives up.
        is_own: whether the file at a path is the user's own code; by default what is below the working directory.

    Raises:
        TooSlow: the time limit was exceeded.
    """
    if not careful and time_limit is None:
        try:
            data = _dumps(value, 5)
            if not may_hold_objects(data):
                return _new(Pickled, (data, (), False))
        except Exception:  # noqa: BLE001, S110 - the object may raise anything; the patient way finds out
            pass
    deadline = None if time_limit is None else time.perf_counter() + time_limit
    return _patiently(value, careful, deadline, is_own or default_is_own)


def _patiently(value: Any, careful: bool, deadline: float | None, is_own: IsOwn) -> Pickled:
    if not careful:
        try:
            return Pickled(_holding_still(lambda last: _plainly(value, deadline)), (), False)
        except TooSlow:
            raise
        except Exception:  # noqa: BLE001, S110 - as above; the careful way tells what can't go, and why
            pass
    try:
        return _holding_still(lambda last: _carefully(value, deadline, is_own, last))
    except TooSlow:
        raise
    except Exception as error:  # noqa: BLE001 - users' code may raise anything, and it goes into the report
        return _nothing(value, str(error))


def _plainly(value: Any, deadline: float | None) -> bytes:
    file = _File(deadline)
    recorder = Recorder(file, living().owns)
    recorder.dump(value)
    shapes = written_shapes(recorder.classes, living().owns)
    if not shapes:
        return file.content()
    return bytes(Heading(code=False, stand_ins=False, shapes=shapes)) + file.content()


def _carefully(value: Any, deadline: float | None, is_own: IsOwn, last: bool) -> Pickled:
    file = _File(deadline)
    reducer = _Dump(file, is_own, {}, {})
    try:
        reducer.dump(value)
    except TooSlow:
        raise
    except Exception as error:  # noqa: BLE001 - objects may raise anything; the survey finds out who, and reports it
        depths = iter(_DEPTHS[isinstance(error, RecursionError) :])
        return _without_what_cannot_go(value, deadline, is_own, depths, last)
    shapes = written_shapes(reducer.classes, reducer.has_shape)
    heading = Heading(reducer.holds_code, stand_ins=False, shapes=shapes)
    return Pickled(bytes(heading) + file.content(), (), True)


def _without_what_cannot_go(
    value: Any, deadline: float | None, is_own: IsOwn, depths: Iterator[int], last: bool
) -> Pickled:
    deepest = next(depths)
    condemned: dict[int, str] = {}
    for _ in range(_ROUNDS):
        reducer = Reducer(io.BytesIO(), is_own, blame_races=last)
        survey = Survey(value, reducer, deepest=deepest, deadline=deadline, condemned=condemned)
        if survey.root.why is not None:
            return Pickled(b"", survey.left_out(), True)
        file = _File(deadline)
        stand_ins = survey.stand_ins()
        kind = _DumpWithStandIns if stand_ins else _Dump
        dump = kind(file, is_own, stand_ins, survey.reductions())
        try:
            dump.dump(value)
        except RecursionError:
            deepest = next(depths, 0)
        except TooSlow:
            raise
        except Exception as error:
            if dump.last is None or (is_race(error) and not last):
                raise
            condemned[id(dump.last)] = str(error)
        else:
            shapes = written_shapes(dump.classes | reducer.classes, reducer.has_shape)
            heading = Heading(dump.holds_code or reducer.holds_code, bool(dump.stand_ins), shapes=shapes)
            return Pickled(bytes(heading) + file.content(), survey.left_out(), True)
    return _nothing(value, "no part of it could be pickled")


def _nothing(value: Any, why: str) -> Pickled:
    return Pickled(b"", (LeftOut("", type_name(type(value)), why),), True)


class _File:
    """What a pickler writes to: it looks at the clock with every frame of 64 KiB."""

    def __init__(self, deadline: float | None) -> None:
        self._deadline = deadline
        self._frames: list[bytes] = []

    def write(self, frame: bytes) -> None:
        if self._deadline is not None and time.perf_counter() > self._deadline:
            raise TooSlow
        self._frames.append(bytes(frame))

    def content(self) -> bytes:
        return b"".join(self._frames)


class _Dump(Reducer):
    """Pickles by what a survey found, where it found something.

    A pickler has no hook for plain containers but that for persistent ids. So what stands in for one is given as
    such an id: it is pickled in place, once, with whatever refers to it from inside, and read as itself.
    """

    def __init__(self, file: _File, is_own: IsOwn, stand_ins: dict[int, Any], reductions: dict[int, Reduction]) -> None:
        super().__init__(file, is_own)
        self.stand_ins = stand_ins
        self.reductions = reductions
        self.last: Any = None  # the object that was asked for last: the one to blame if pickle does not take it

    def reducer_override(self, obj: Any) -> Any:
        self.last = obj
        known = self.reductions.get(id(obj))
        return for_pickle(self.ask(obj) if known is None else known)


class _DumpWithStandIns(_Dump):
    def persistent_id(self, obj: Any) -> Any:
        return self.stand_ins.get(id(obj))


# Other threads may change a value while it is pickled: endpoints that are plain functions do. Threads take turns only
# where pickle runs Python code, so a value holds still if the interpreter lets this thread go on for long enough.

_AT_ONCE = 3
_SLOWLY = 5
_LONGEST_TURN = 0.5  # seconds; the others wait so long at most, and so do we when a turn was theirs
_turns = threading.RLock()


def _holding_still(attempt: Callable[[bool], Result]) -> Result:
    """What `attempt` returns once nobody changes the value under it; what it raises for any other reason.

    It is told when it is the last one: an object that changes even then changes itself, and is to blame.
    """
    began = time.perf_counter()
    for _ in range(_AT_ONCE):
        try:
            return attempt(False)
        except RuntimeError as error:
            if not is_race(error):
                raise
    with _long_turns(4 * (time.perf_counter() - began)):
        for _ in range(_SLOWLY):
            try:
                return attempt(False)
            except RuntimeError as error:
                if not is_race(error):
                    raise
        return attempt(True)


@contextmanager
def _long_turns(seconds: float) -> Iterator[None]:
    with _turns:
        before = sys.getswitchinterval()
        sys.setswitchinterval(max(before, min(seconds, _LONGEST_TURN), 0.02))
        try:
            yield
        finally:
            sys.setswitchinterval(before)
