"""Steps of the user's that raise when a kept value is read: who asks is told, and its bytes stay until it is mended."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import pytest

from hotsession import kept
from hotsession.errors import ConfigurationError, MigrationFailed
from hotsession.registry import registry
from hotsession.snapshot import written
from hotsession.snapshot.opening import install
from hotsession.snapshot.pickling import Pickled, TooSlow, pickled
from hotsession.snapshot.steps import is_defined_below
from tests.living.generations import Code
from tests.snapshot.carriers import Process, Start

pytestmark = pytest.mark.anyio

CART = "class Cart:\n    def __init__(self, n): self.n = n\n"
RAISES = CART + "    def __hot_migrate__(self, old): self.size = self.m\n"
MENDED = CART + "    def __hot_migrate__(self, old): self.size = self.n\n"

Begin = Callable[[str], Any]
keep: Any = kept.keep  # whatever the factory says of its type


@pytest.fixture
def begin(start: Start) -> Iterator[Begin]:
    """Starts a process with this code of the app's module, in which `keep` is the public one."""
    codes: list[Code] = []

    def begun(text: str) -> Process:
        process = start()
        install(process.carrier)
        code = Code()
        codes.append(code)
        code.first(text=text)
        return process

    yield begun
    for each in codes:
        each.forget()


@pytest.fixture
def by_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have everything of more than 10 parts written part by part."""

    def limited(value: Any, *, time_limit: float | None = None, **options: Any) -> Pickled:
        if time_limit is not None and isinstance(value, dict | list) and len(value) > 10:
            raise TooSlow
        return pickled(value, **options)

    monkeypatch.setattr(written, "pickled", limited)


def shop() -> ModuleType:
    return sys.modules["shop"]


def content(process: Process) -> dict[bytes, bytes]:
    """All that is in the snapshot of kept values."""
    kinds = (b"value/", b"whole/", b"part/", b"waiting/", b"lost/")
    return {key: data for kind in kinds for key, data in process.store.items(kind)}


def cart(n: int = 1) -> Any:
    return shop().Cart(n)


def many(one: object) -> dict[Any, Any]:
    return dict.fromkeys(range(20), 0) | {3: one}


VALUES: dict[str, tuple[Callable[[], Any], Callable[[Any], Any], str]] = {
    "itself": (cart, lambda value: value, "value"),
    "in a list": (lambda: [0, cart()], lambda value: value[1], r"value\[1\]"),
    "an item": (lambda: {"a": cart(), "b": 1}, lambda value: value["a"], r"value\['a'\]"),
    "below an item": (lambda: {"a": [cart()]}, lambda value: value["a"][0], r"value\['a'\]\[0\]"),
    "a part": (lambda: many(cart()), lambda value: value[3], r"value\[3\]"),
    "an item of a part": (lambda: many({"a": cart()}), lambda value: value[3]["a"], r"value\[3\]\['a'\]"),
    "a part of a list": (lambda: [0, 0, 0, cart(), *range(20)], lambda value: value[3], r"value\[3\]"),
}


@pytest.mark.parametrize("where", VALUES)
@pytest.mark.parametrize("end", [MENDED, CART], ids=["mended", "taken back"])
async def test_a_value_returns_when_its_step_is_mended(begin: Begin, by_parts: None, where: str, end: str) -> None:
    """Wherever the object is: each call raises, nothing is built or written, and then all is there."""
    made, found, path = VALUES[where]
    first = begin(CART)
    value = keep("value", made)
    first.values.write("value", registry.find("value"))
    first.carrier.flush()
    before = content(first)
    assert bool(first.store.items(b"part/")) == where.startswith(("a part", "an item of a part"))
    for _ in range(2):
        second = begin(RAISES)
        for _ in range(2):
            with pytest.raises(MigrationFailed, match=rf"kept as 'value': {path} is a Cart .* raised AttributeError"):
                keep("value", lambda: pytest.fail("it was built anew"))
        second.carrier.settle_in()
        second.carrier.look()
        second.carrier.flush()
        assert content(second) == before
    third = begin(end)
    now = keep("value", list)
    assert vars(found(now)) == ({"n": 1, "size": 1} if end == MENDED else {"n": 1})
    assert type(now) is shop().Cart or len(now) == len(value)
    third.carrier.flush()
    assert not third.store.items(b"waiting/")
    assert not third.store.items(b"lost/")


def test_the_error_says_what_to_do(begin: Begin) -> None:
    """It names the value, the path, the class and the step, and has the step's own error for its cause."""
    keep_one(begin)
    begin(RAISES)
    with pytest.raises(MigrationFailed, match=r"Mend it and save.*hotsession reset value") as caught:
        keep("value", dict)
    error = caught.value
    assert (error.name, error.path, error.cls, error.step) == ("value", "value['a']", "Cart", "Cart.__hot_migrate__")
    assert isinstance(error.__cause__, AttributeError)
    assert error.id is None


def keep_one(begin: Begin) -> None:
    """Keep a cart in a dict, in a process that ends."""
    first = begin(CART)
    keep("value", lambda: {"a": cart(), "b": 1})
    keep("other", list).append(1)
    first.carrier.flush()


def test_a_class_that_returns_with_a_step_that_raises(begin: Begin) -> None:
    """What was built in its place goes on while the class is gone; when it is back its step has to be mended."""
    first = begin(CART)
    keep("value", cart)
    keep("items", lambda: {"a": cart()})
    first.carrier.flush()
    second = begin("")
    assert keep("value", lambda: "another") == "another"
    assert keep("items", dict) == {}
    second.carrier.flush()
    begin(RAISES)
    for name in ("value", "items"):
        with pytest.raises(MigrationFailed):
            keep(name, dict)
    begin(MENDED)
    assert vars(keep("value", list)) == {"n": 1, "size": 1}
    assert vars(keep("items", dict)["a"]) == {"n": 1, "size": 1}


@pytest.mark.parametrize("name", ["value", None])
def test_reset_drops_it(begin: Begin, name: str | None) -> None:
    """By its name, though nobody has it, and with everything; the rest stays."""
    keep_one(begin)
    second = begin(RAISES)
    with pytest.raises(MigrationFailed):
        keep("value", dict)
    assert set(kept.reset(name)) >= {"value"}
    assert keep("value", dict) == {}
    assert keep("other", list) == ([1] if name else [])
    second.carrier.flush()
    begin(RAISES)
    assert keep("value", list) == {}
    with pytest.raises(ConfigurationError, match="nothing is kept as 'nothing'"):
        kept.reset("nothing")


def test_one_that_is_to_be_built_anew_is_not_waited_for(begin: Begin) -> None:
    """With `reset_on_change` another factory builds it anew: the old objects are of no interest."""
    first = begin(CART)
    keep("value", lambda: {"a": cart()}, reset_on_change=True)
    first.carrier.flush()
    begin(RAISES)
    assert keep("value", lambda: {"b": 2}, reset_on_change=True) == {"b": 2}


async def test_a_step_is_run_for_what_was_written_when_its_class_was_replaced(start: Start) -> None:
    """An object whose step raised in place is written as it was; the next process tries again."""
    first = start()
    code = Code()
    code.first(text=CART)
    value = first.keep("value", lambda: {"a": cart()})
    code.save(RAISES)
    assert type(value["a"]) is not shop().Cart
    first.carrier.flush()
    second = start()
    code = Code()
    code.first(text=MENDED)
    assert vars(second.keep("value", dict)["a"]) == {"n": 1, "size": 1}
    code.forget()


BELOW = """
from hotsession.kept import keep
class Cart:
    def __init__(self, n): self.n = n
    def __hot_migrate__(self, old): self.size = {name}
value = keep("value", dict)
UNIT = 7
"""


async def test_a_step_that_needs_what_is_defined_below_is_merely_too_early(begin: Begin) -> None:
    """The value is complete when the app is up; a name that is misspelt is told at once."""
    keep_one(begin)
    with pytest.raises(MigrationFailed, match="NameError: name 'UNTI' is not defined"):
        begin(BELOW.format(name="UNTI"))
    third = begin(BELOW.format(name="UNIT"))
    third.carrier.settle_in()
    assert vars(registry.find("value").value["a"]) == {"n": 1, "size": 7}


def test_other_errors_are_never_too_early() -> None:
    """An attribute of an object is not one of a module, and an error may never have been raised."""
    assert not is_defined_below(AttributeError("n", name="n", obj=object()))
    assert not is_defined_below(NameError("n"))
    assert not is_defined_below(ValueError("n"))


AFTER = """
from hotsession.kept import keep
import hotsession
class Cart:
    def __init__(self, n): self.n = n
value = keep("value", dict)
seen = vars(value["a"]).copy()
{amid}
@hotsession.migrate(Cart, version=1)
def resize(cart): cart.size = cart.{name} * 2
"""


def importing(begin: Begin, text: str) -> Process:
    """Start a process in which a module is in the midst of its import as long as its code runs."""
    spec: Any = sys.__spec__
    spec._initializing = True
    try:
        return begin(text)  # type: ignore[no-any-return]
    finally:
        spec._initializing = False


async def test_a_step_that_is_registered_after_the_value_was_read_is_run(begin: Begin) -> None:
    """When the app is up, once; nobody writes the value before that as if it had passed the step."""
    keep_one(begin)
    second = importing(begin, AFTER.format(name="n", amid=""))
    assert shop().seen == {"n": 1}
    second = importing(begin, AFTER.format(name="n", amid=""))  # it was killed before the app was up
    second.carrier.settle_in()
    assert vars(shop().value["a"]) == {"n": 1, "size": 2}
    shop().value["a"].n = 5
    second.carrier.flush()
    third = importing(begin, AFTER.format(name="n", amid=""))
    third.carrier.settle_in()
    assert vars(shop().value["a"]) == {"n": 5, "size": 2}


async def test_a_process_that_ends_amid_the_import_writes_what_has_passed_the_steps_so_far(begin: Begin) -> None:
    """What it changed is not lost, and the steps that are registered later are run by the next."""
    keep_one(begin)
    flush = "value['b'] = 2; from hotsession.snapshot.opening import carrier; carrier().flush()"
    for _ in range(2):
        second = importing(begin, AFTER.format(name="n", amid=flush))
    second.carrier.settle_in()
    assert shop().value["b"] == 2
    assert vars(shop().value["a"]) == {"n": 1, "size": 2}


async def test_such_a_step_that_raises_keeps_the_value_from_being_written(
    begin: Begin, caplog: pytest.LogCaptureFixture
) -> None:
    """The app has it already, as it was: the log says so, and the fix brings back what it was before."""
    keep_one(begin)
    second = importing(begin, AFTER.format(name="m", amid=""))
    before = content(second)
    second.carrier.settle_in()
    assert vars(shop().value["a"]) == {"n": 1}
    assert "is not written until that is mended" in caplog.text
    second.carrier.flush()
    assert content(second) == before
    third = importing(begin, AFTER.format(name="n", amid=""))
    third.carrier.settle_in()
    assert vars(shop().value["a"]) == {"n": 1, "size": 2}
