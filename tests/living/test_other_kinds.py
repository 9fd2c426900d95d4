"""What says what a class is changes: dataclasses, attrs and pydantic, frozen or not, with slots or without."""

from __future__ import annotations

import itertools

from tests.living.edits import HEAD
from tests.living.generations import BOTH_WAYS, Code, Held

LINES = "class A:\n    a: int\n    b: int = 2\n"
DATA = f"@dataclass\n{LINES}"
SLOTS = f"@dataclass(slots=True)\n{LINES}"
FROZEN = f"@dataclass(frozen=True)\n{LINES}"
BOTH = f"@dataclass(frozen=True, slots=True)\n{LINES}"
ATTRS = f"@attrs.define\n{LINES}"
LOOSE = f"@attrs.frozen(slots=False, cache_hash=True)\n{LINES}"
MODEL = "class A(pydantic.BaseModel):\n    a: int\n    b: int = 2\n    _p: int = pydantic.PrivateAttr(4)\n"
KINDS = (DATA, SLOTS, FROZEN, BOTH, ATTRS, LOOSE, MODEL)


@BOTH_WAYS
def test_each_kind_becomes_each_other(code: Code, restart: bool) -> None:
    """No value is lost or mixed up, an equal object can be made, and a model is one that pydantic can work with."""
    held = Held(code, HEAD + DATA, "shop.A(a=1, b=5)", restart=restart)
    for one, other in itertools.permutations(KINDS, 2):
        held.save(HEAD + one)
        it = held.save(HEAD + other)
        assert it == held.shop.A(a=1, b=5), (one, other)
        assert hasattr(it, "__pydantic_extra__") is (other is MODEL)
        if other is MODEL:
            assert (it.model_dump(), it.model_fields_set, it._p) == ({"a": 1, "b": 5}, {"a", "b"}, 4)
            assert it.model_copy(update={"a": 2}).a == 2


@BOTH_WAYS
def test_what_is_kept_aside_stays_so_while_slots_and_frozen_change(code: Code, restart: bool) -> None:
    """A field that was taken away returns with its value, whatever the class was meanwhile."""
    more = "    c: int = 3\n"
    held = Held(code, HEAD + SLOTS + more, "shop.A(1, 5, 6)", restart=restart)
    for text in (BOTH, SLOTS, BOTH, FROZEN, BOTH, DATA, BOTH):
        assert held.save(HEAD + text) == held.shop.A(1, 5)
    assert held.save(HEAD + BOTH + more) == held.shop.A(1, 5, 6)


@BOTH_WAYS
def test_a_model_becomes_a_dataclass_and_a_model_again(code: Code, restart: bool) -> None:
    """What somebody gave, extra values and private ones are as they were; the dataclass has the fields alone."""
    own = "    model_config = {'extra': 'allow'}\n    def model_post_init(self, _): self._p = 9\n"
    held = Held(code, HEAD + MODEL + own, "shop.A(a=1, z=7)", restart=restart)
    assert vars(held.save(HEAD + DATA)) == {"a": 1, "b": 2}
    it = held.save(HEAD + MODEL + own)
    assert (it.model_fields_set - {"z"}, it.model_extra, it._p) == ({"a"}, {"z": 7}, 9)


@BOTH_WAYS
def test_private_attributes_come_and_go(code: Code, restart: bool) -> None:
    """A new one has its default; one that is gone is not compared, and is back with its value; renames are followed."""
    base = "class A(pydantic.BaseModel):\n    a: int = 1\n"
    own = "    _p: int = pydantic.PrivateAttr(4)\n"
    held = Held(
        code, HEAD + base + own + "    def model_post_init(self, _): self._p = 9\n", "shop.A()", restart=restart
    )
    it = held.save(HEAD + base + own + "    _q: list = pydantic.PrivateAttr(default_factory=list)\n")
    assert (it._p, it._q) == (9, [])
    assert held.save(HEAD + base) == held.shop.A()
    it = held.save(HEAD + base + own)
    assert it._p == 9
    renamed = "@hotsession.renamed(_p='_r')\n" + base + own.replace("_p", "_r")
    assert held.save(HEAD + renamed)._r == 9


@BOTH_WAYS
def test_a_hash_that_attrs_remembers_is_found_anew(code: Code, restart: bool) -> None:
    """A key of a class with `cache_hash=True` is found after a field was added."""
    text = "@attrs.frozen(cache_hash=True)\nclass A:\n    a: int\n"
    held = Held(code, HEAD + text, "(lambda it: {it: hash(it)})(shop.A(1))", restart=restart)
    assert held.shop.A(1) in held.it
    held.save(HEAD + text + "    b: int = 2\n")
    assert held.shop.A(1, 2) in held.it


@BOTH_WAYS
def test_two_renames_in_one_save_are_followed_to_the_end(code: Code, restart: bool) -> None:
    """Also where both are undone at once."""
    before, after = "@dataclass\nclass A:\n    a: int\n", "@dataclass\nclass A:\n    c: int\n"
    held = Held(code, HEAD + before, "shop.A(4)", restart=restart)
    assert held.save(HEAD + "@hotsession.renamed(a='b', b='c')\n" + after) == held.shop.A(4)
    assert held.save(HEAD + before) == held.shop.A(4)


@BOTH_WAYS
def test_a_new_field_may_have_the_name_that_a_renamed_one_had(code: Code, restart: bool) -> None:
    """The value goes with the rename, and the new field has its default."""
    held = Held(code, HEAD + "@dataclass\nclass A:\n    a: int\n", "shop.A(4)", restart=restart)
    after = "@hotsession.renamed(a='b')\n@dataclass\nclass A:\n    b: int\n    a: str = 'new'\n"
    assert held.save(HEAD + after) == held.shop.A(4, "new")


def test_attributes_of_a_class_that_are_hard_to_ask_for_are_not_asked_for(code: Code) -> None:
    """A `__getattribute__` that raises keeps nobody from following."""
    hard = "class A:\n    def __getattribute__(self, name): raise ValueError(name)\n"
    held = Held(code, HEAD + hard, "shop.A()", restart=False)
    assert type(held.save(HEAD + hard + "    x = 1\n")) is held.shop.A
    assert held.save(HEAD + "class A:\n    x = 2\n").x == 2


@BOTH_WAYS
def test_what_is_kept_aside_of_a_named_tuple_is_back(code: Code, restart: bool) -> None:
    """Fields of named tuples come and go as others do; one that returns needs no default."""
    head = HEAD + "class A(typing.NamedTuple):\n"
    held = Held(code, head + "    a: int\n    b: int = 2\n", "[shop.A(1, 5)]", restart=restart)
    assert held.save(head + "    a: int\n") == [held.shop.A(1)]
    assert held.save(head + "    b: int\n    a: int\n") == [held.shop.A(5, 1)]
    assert held.save(head + "    b: int = 3\n") == [held.shop.A(5)]
    assert held.save(head + "    b: int = 3\n    def f(self): return self.b\n")[0].f() == 5
    assert held.save(head + "    b: int = 3\n    a: int = 4\n") == [held.shop.A(5, 1)]
