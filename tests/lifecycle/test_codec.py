"""Codecs: what comes back, what is refused and where it stands, and bytes that are another's."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
import threading
from dataclasses import dataclass, field, make_dataclass
from datetime import UTC, datetime
from enum import Enum, Flag, StrEnum, auto
from functools import cached_property
from typing import Any

import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotsession.errors import ConfigurationError, DataNotReadable, DataNotStorable
from hotsession.lifecycle.codec import Codec, JSONCodec, SignedPickleCodec
from hotsession.lifecycle.data import SessionData


class Color(StrEnum):
    """A string for JSON, if nobody looks."""

    RED = "r"
    GREEN = "g"


class Rights(Flag):
    """Several at once."""

    READ = auto()
    WRITE = auto()


@dataclass
class Message:
    """An app's own class."""

    text: str
    at: datetime | None = None
    tags: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.text = self.text.strip()

    @cached_property
    def words(self) -> list[str]:
        """What can be computed again."""
        return self.text.split()


@dataclass(frozen=True, slots=True)
class Point:
    """Without a __dict__, and nobody may set anything."""

    x: int
    y: int = 0


class Trip(pydantic.BaseModel):
    """A model with a model, and something of its own."""

    model_config = pydantic.ConfigDict(extra="allow")

    title: str = pydantic.Field(alias="Title")
    stops: list[Any] = []
    parent: Trip | None = None
    _seen: int = 0


TYPES = [Color, Rights, Message, Point, Trip]
CODECS: list[Codec] = [JSONCodec(types=TYPES), SignedPickleCodec("secret")]
MESSAGES = st.builds(Message, st.text(), st.none() | st.datetimes(), st.sets(st.text(max_size=3), max_size=3))
LEAVES = (
    MESSAGES | st.builds(Point, st.integers(), st.integers()) | st.sampled_from([*Color, Rights.READ | Rights.WRITE])
)
DATA = st.dictionaries(
    st.text(max_size=5),
    st.recursive(
        LEAVES | st.none() | st.text() | st.floats(allow_nan=False),
        lambda inner: st.lists(inner) | st.builds(Trip, Title=st.text(), stops=st.lists(inner, max_size=3)),
        max_leaves=8,
    ),
    max_size=4,
)


@pytest.fixture(params=CODECS, ids=lambda codec: codec.name)
def codec(request: pytest.FixtureRequest) -> Codec:
    """Each of the codecs."""
    found: Codec = request.param
    assert isinstance(found, Codec)
    return found


@given(st.sampled_from(CODECS), DATA)
def test_what_is_written_comes_back(codec: Codec, value: dict[str, Any]) -> None:
    """Also what the app made itself, nested in whatever way; and writing it once more gives the same bytes."""
    data = codec.dumps(value)
    back = codec.loads(data)
    assert back == value
    assert codec.dumps(back) == data or codec.name != "json"


def test_data_of_a_request_comes_back_as_a_dict(codec: Codec) -> None:
    """What a request sees its session as is the request's matter; and storing it is no access."""
    value = SessionData(a=[1])
    back = codec.loads(codec.dumps(value))
    assert type(back) is dict
    assert back == {"a": [1]}
    assert not value.accessed


def test_json_can_be_read() -> None:
    """Text in its own letters, with nothing between."""
    assert JSONCodec().dumps({"name": "Zoë", "n": [1, None, 1.5]}) == '{"name":"Zoë","n":[1,null,1.5]}'.encode()
    assert JSONCodec(types=[Point]).dumps({"at": Point(1)}) == b'{"at":{"$type":"Point","value":{"x":1,"y":0}}}'
    assert JSONCodec().dumps({"$type": "x", "n": float("inf")}) == (
        b'{"$$type":"x","n":{"$type":"float","value":"inf"}}'
    )


def test_a_tag_in_a_text_is_a_text() -> None:
    """Only keys are tags."""
    value = {"a": 'say "$type"', "b": '{"$type": "date"}', "c": ["$type"]}
    assert JSONCodec().loads(JSONCodec().dumps(value)) == value


@pytest.mark.parametrize(
    ("value", "path", "words"),
    [
        ({"m": Message("x", at=threading.Lock())}, 'data["m"].at', "keep()"),  # type: ignore[arg-type]
        ({"t": [Trip(Title="x", stops=[(1, object())])]}, 'data["t"][0].stops[0][1]', "of the type object"),
        ({"t": Trip(Title="x", more=object())}, 'data["t"].more', "of the type object"),  # type: ignore[call-arg]
        ({"a": {"b": make_dataclass("New", ["x"])(1)}}, 'data["a"]["b"]', "types=[New]"),
    ],
)
def test_json_names_what_it_cannot_store(value: Any, path: str, words: str) -> None:
    """By its path through objects, too; the error has path and type, and the cure."""
    with pytest.raises(DataNotStorable, match="can't be stored as JSON") as caught:
        CODECS[0].dumps(value)
    assert caught.value.path == path
    assert words in str(caught.value)
    assert caught.value.code == "data_not_storable"


def test_pickle_names_what_it_cannot_store() -> None:
    """The innermost part that can't be pickled, wherever it lies."""
    value = {"a": 1, "m": [0, Message("x", at=threading.Lock())]}  # type: ignore[arg-type]
    with pytest.raises(DataNotStorable, match=r'data\["m"\]\[1\]\.at can\'t be stored as a pickle') as caught:
        CODECS[1].dumps(value)
    assert (caught.value.path, caught.value.type) == ('data["m"][1].at', "_thread.lock")


def test_loops_and_depth_are_clear_errors() -> None:
    """An object that leads back to itself, and data a hundred thousand levels deep."""
    looped = Message("x")
    looped.at = looped  # type: ignore[assignment]
    with pytest.raises(DataNotStorable, match=r'data\["m"\]\.at can\'t be stored as JSON: it contains itself'):
        CODECS[0].dumps({"m": looped})
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(DataNotStorable, match=r"deeper than 200 levels") as caught:
        CODECS[0].dumps({"deep": deep})
    assert len(str(caught.value)) < 400
    with pytest.raises(DataNotStorable, match="nested too deeply"):
        CODECS[1].dumps({"deep": deep})
    with pytest.raises(DataNotReadable, match="nested too deeply"):
        CODECS[0].loads(b'{"a":' + b"[" * 100_000)
    while deep:  # let it go level by level: old Pythons are not fond of such depths
        deep = deep.pop()


def test_data_at_the_end_of_the_stack_is_a_clear_error() -> None:
    """Where little of the stack is left, what would else be stored is refused as too deep."""
    value: Any = {"when": ()}
    for _ in range(150):
        value = {"a": value}

    def dive() -> None:
        try:
            dive()
        except RecursionError:
            CODECS[0].dumps(value)

    with pytest.raises(DataNotStorable, match="too deeply for the stack"):
        dive()


JSON_BYTES = JSONCodec().dumps({"a": ()})
PICKLED = SignedPickleCodec("secret").dumps({"a": 1})


@pytest.mark.parametrize(
    ("codec", "data", "words"),
    [
        (JSONCodec(), PICKLED, "read it with SignedPickleCodec"),
        (JSONCodec(), b"\x80\x05]", "is no JSON"),
        (JSONCodec(), b'{"a": [1, 2', "is no JSON"),
        (JSONCodec(), b"", "is no JSON"),
        (JSONCodec(), CODECS[0].dumps({"p": Point(1)}), "no class is registered by this name. Register the class"),
        (SignedPickleCodec("secret"), JSON_BYTES, "no signed pickle: it was written by another codec"),
        (SignedPickleCodec("secret"), pickle.dumps({"a": 1}), "no signed pickle"),
        (SignedPickleCodec("other", "third"), PICKLED, "was not signed with a key"),
        (SignedPickleCodec("secret"), PICKLED[:-1] + b"!", "was not signed with a key"),
        (SignedPickleCodec("secret"), PICKLED[:30], "was not signed with a key"),
    ],
)
def test_what_is_anothers_is_not_read(codec: Codec, data: bytes, words: str) -> None:
    """Bytes of another codec, of another key and damaged ones are told by what can be done, never guessed at."""
    with pytest.raises(DataNotReadable) as caught:
        codec.loads(data)
    assert words in str(caught.value)
    assert caught.value.code == "data_not_readable"


class Bomb:
    """Goes off when it is unpickled."""

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return pytest.fail, ("it was unpickled",)


def test_only_what_was_signed_is_unpickled() -> None:
    """A pickle with another's signature, or our mark alone, is not opened at all."""
    theirs = SignedPickleCodec("theirs").dumps(Bomb())
    for data in (theirs, theirs[:20] + pickle.dumps(Bomb())):
        with pytest.raises(DataNotReadable):
            SignedPickleCodec("ours").loads(data)


def test_a_key_is_replaced() -> None:
    """What the former key signed is read, and written again with the new one."""
    both, new = SignedPickleCodec("new", "secret"), SignedPickleCodec("new")
    assert new.loads(both.dumps(both.loads(PICKLED))) == {"a": 1}


@pytest.mark.parametrize("key", [None, "", b""])
def test_a_key_is_needed(key: object) -> None:
    """Nothing is signed with an empty key, which everybody knows."""
    with pytest.raises(ConfigurationError, match="a secret key that is not empty"):
        SignedPickleCodec(key)
    with pytest.raises(ConfigurationError):
        SignedPickleCodec("good", key)


def test_a_repr_shows_no_key() -> None:
    """What is printed into logs must not hold the secret."""
    assert repr(SignedPickleCodec("hush", "hush2")) == "<SignedPickleCodec with 2 keys>"
    assert repr(JSONCodec(types=[Point])) == "<JSONCodec, 1 classes registered>"


def test_a_class_that_is_gone_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pickle that needs it can't be read; it stays."""
    data = CODECS[1].dumps({"a": Message("x")})
    monkeypatch.delattr(sys.modules[__name__], "Message")
    with pytest.raises(DataNotReadable, match=r"can't be unpickled: AttributeError: .*Message"):
        CODECS[1].loads(data)


def version(*fields: Any, slots: bool = False) -> Any:
    """A version of a class `Note`, as reloads make them."""
    return make_dataclass("Note", fields, slots=slots, namespace={"__module__": __name__})


def test_fields_come_and_go_with_versions_of_a_class() -> None:
    """A new one gets its default; one that is gone stays beside and is there again when it returns."""
    older, newer = version("text", "color"), version("text", ("tags", list, field(default_factory=list)))
    data = JSONCodec(types=[older]).dumps({"n": older("x", "red")})
    codec = JSONCodec(types=[newer])
    note = codec.loads(data)["n"]
    assert (type(note), note) == (newer, newer("x", []))
    assert JSONCodec(types=[older]).loads(codec.dumps({"n": note}))["n"] == older("x", "red")
    slotted = version("text", slots=True)
    assert JSONCodec(types=[slotted]).loads(data)["n"] == slotted("x")
    with pytest.raises(
        DataNotReadable, match=r'data\["n"\].*field \'size\' was not stored: give .* a default'
    ) as caught:
        JSONCodec(types=[version("text", "size")]).loads(data)
    assert (caught.value.path, caught.value.type) == ('data["n"]', "Note")


def test_fields_of_models_come_and_go() -> None:
    """As with dataclasses."""
    older = pydantic.create_model("Plan", a=(int, 1), b=(int, 2))
    newer = pydantic.create_model("Plan", a=(int, 1), c=(list[int], pydantic.Field(default_factory=list)))
    strict = pydantic.create_model("Plan", z=(int, ...))
    data = JSONCodec(types=[older]).dumps({"p": older(b=5)})
    plan = JSONCodec(types=[newer]).loads(data)["p"]
    assert plan.model_dump() == {"a": 1, "c": []}
    again = JSONCodec(types=[older]).loads(JSONCodec(types=[newer]).dumps({"p": plan}))["p"]
    assert again == older(b=5)
    assert again.model_fields_set == {"b"}
    with pytest.raises(DataNotReadable, match="field 'z' was not stored"):
        JSONCodec(types=[strict]).loads(data)


def test_models_come_back_whole() -> None:
    """With what was set, what is extra and what is private; without a validator's second look."""
    trip = Trip(Title="x", stops=[{1.5}], more=(1,), parent=Trip(Title="y"))  # type: ignore[call-arg]
    trip._seen = 3
    back = CODECS[0].loads(CODECS[0].dumps({"t": trip}))["t"]
    assert back == trip
    assert (back._seen, back.more, back.model_fields_set) == (3, (1,), {"title", "stops", "more", "parent"})
    assert back.parent is not None
    assert (back.parent._seen, back.parent.model_fields_set) == (0, {"title"})


def test_what_can_be_computed_is_not_stored() -> None:
    """Cached properties come again by themselves; and __post_init__ does not run a second time."""
    message = Message("a b")
    assert message.words == ["a", "b"]
    message.text = " c "
    stored = json.loads(CODECS[0].dumps({"m": message}))["m"]["value"]
    assert stored.keys() == {"text", "at", "tags"}
    assert CODECS[0].loads(CODECS[0].dumps({"m": message}))["m"].text == " c "


def test_instances_of_older_code_are_stored() -> None:
    """After a reload there are objects of the class as it was: they are written, and read as it is now."""
    older, newer = version("text"), version("text")
    codec = JSONCodec(types=[older])
    codec.register(newer)
    assert type(codec.loads(codec.dumps({"n": older("x")}))["n"]) is newer


def test_a_class_has_a_name_of_its_own_choice() -> None:
    """Given at the class; what was stored by the former name of a renamed class is read, and written by the new."""
    codec = JSONCodec()
    assert codec.register(Point, name="Place") is Point
    data = codec.dumps({"p": Point(1)})
    assert b'"$type":"Place"' in data
    codec.register(Point)
    assert codec.loads(data) == {"p": Point(1)}
    assert b'"$type":"Point"' in codec.dumps(codec.loads(data))


@pytest.mark.parametrize("cls", [threading.Thread, dict, Enum, make_dataclass("Rows", ["a"], bases=(list,)), 5])
def test_what_cannot_be_taken_apart_is_not_registered(cls: Any) -> None:
    """Told when it is registered, not when the first one is saved."""
    with pytest.raises(TypeError, match="can't be registered for JSON"):
        JSONCodec().register(cls, name="x")


@pytest.mark.e2e
def test_json_needs_no_pydantic() -> None:
    """It is not imported for apps that do without it."""
    code = (
        "import sys; from dataclasses import dataclass; from hotsession.lifecycle.codec import JSONCodec\n"
        "@dataclass\nclass A: x: int\n"
        "codec = JSONCodec(types=[A]); assert codec.loads(codec.dumps({'a': A((1,))})) == {'a': A((1,))}\n"
        "print('pydantic' in sys.modules)"
    )
    output = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert output.strip() == "False"


def test_sql_rows_are_refused() -> None:
    """An object that a database session looks after is none to take apart."""
    sqlmodel = pytest.importorskip("sqlmodel")
    namespace = {"__annotations__": {"id": int}, "id": sqlmodel.Field(primary_key=True), "__module__": __name__}
    row = type(sqlmodel.SQLModel)("CodecRow", (sqlmodel.SQLModel,), namespace, table=True)
    with pytest.raises(TypeError, match="Store their primary keys"):
        JSONCodec(types=[row])


def test_fixed_offsets_of_others_come_back_as_offsets() -> None:
    """Pydantic's own time zone objects are none that others read: they come back as the same offset."""
    moment = pydantic.TypeAdapter(datetime).validate_python("2026-01-31T12:00:00Z")
    back = JSONCodec().loads(JSONCodec().dumps({"at": moment}))["at"]
    assert back == moment
    assert back.tzinfo is UTC
