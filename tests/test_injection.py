"""Which constructor argument is filled by what."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Optional, Protocol

import pytest

from hotsession.errors import MissingArgument, ServiceError
from hotsession.injection import Filling, Known, bind, plan_arguments

if TYPE_CHECKING:
    from nowhere import Unknown  # type: ignore[import-not-found]


class Storage(Protocol):
    """Stands for any storage."""

    async def get(self, id: str) -> object: ...


class MemoryStorage:
    """A storage."""


class FileStorage:
    """Another one."""


class BetterFileStorage(FileStorage):
    """And a special one."""


class Manager:
    """Stands for session managers."""


class Tools:
    """A service."""


class ToolsOfOldCode:
    """No service any more."""


def known(**storages: type) -> Known:
    """What there is: these storages, managers and the service `Tools`."""
    return Known(storages, Storage, Manager, lambda cls: cls is Tools)


def plan(cls: type, known_: Known, *, has_key: bool = False, **config: object) -> dict[str, tuple[str, Any]]:
    """The plan as argument to source and what."""
    fillings = plan_arguments(cls, has_key=has_key, config=config, known=known_)
    assert all(isinstance(filling, Filling) for filling in fillings)
    return {filling.name: (filling.source, filling.what) for filling in fillings}


def taking(annotation: object, *, name: str = "argument") -> type:
    """A class whose constructor takes one argument with this annotation."""

    def init(self: object, argument: object) -> None: ...

    init.__annotations__ = {"argument": annotation}
    if name != "argument":
        namespace: dict[str, Any] = {"A": annotation}
        exec(f"def init(self, {name}: A) -> None: ...", globals() | namespace, namespace)  # noqa: S102 - the test's own
        init = namespace["init"]
    return type("Planner", (), {"__init__": init, "__module__": __name__})


@pytest.mark.parametrize(
    ("annotation", "filling"),
    [
        (Manager, ("sessions", "default")),
        ("Manager", ("sessions", "default")),
        (Optional[Manager], ("sessions", "default")),  # noqa: UP045 - the older notation too
        ("Manager | None", ("sessions", "default")),
        (Annotated[Manager, "chat"], ("sessions", "chat")),
        ("Annotated[Manager, 'chat']", ("sessions", "chat")),
        ("Annotated[Manager, 1, 'chat'] | None", ("sessions", "chat")),
        (Annotated[Manager | None, "chat"], ("sessions", "chat")),
        ("Storage", ("storage", "default")),
        ("Annotated[Storage, 'files']", ("storage", "files")),
        ("Annotated[FileStorage, 'files']", ("storage", "files")),
        (FileStorage, ("storage", "files")),
        ("MemoryStorage", ("storage", "default")),
        (Tools, ("service", Tools)),
        ("Tools", ("service", Tools)),
        ("Optional[Tools]", ("service", Tools)),
    ],
)
def test_an_argument_is_filled_by_its_annotation(annotation: object, filling: tuple[str, Any]) -> None:
    """Types, also as text, with None beside them and with the name of the thing."""
    there = known(default=MemoryStorage, other=MemoryStorage, files=BetterFileStorage)
    assert plan(taking(annotation), there) == {"argument": filling}


@pytest.mark.parametrize("annotation", [FileStorage, "Storage", Any, "Any", "object", "Mapping[str, str]", dict])
def test_a_storage_is_filled_by_the_name_of_the_argument(annotation: object) -> None:
    """An argument called as a storage gets it, if the type does not say otherwise."""

    class Dict(dict[str, str], FileStorage):
        pass

    there = known(default=FileStorage, files=Dict)
    assert plan(taking(annotation, name="files"), there) == {"files": ("storage", "files")}


def test_an_argument_without_annotation_is_filled_by_name_alone() -> None:
    """Its name says what it gets, and nothing else does."""

    class Planner:
        def __init__(self, files, rest=None) -> None: ...  # type: ignore[no-untyped-def]

    assert plan(Planner, known(files=dict)) == {"files": ("storage", "files")}


@pytest.mark.parametrize("annotation", [dict, "Any", "object", "Mapping[str, str]", "list[str]"])
def test_common_types_alone_get_no_storage(annotation: object) -> None:
    """That a storage is a dict does not make it every dict that a service wants."""
    with pytest.raises(MissingArgument):
        plan(taking(annotation), known(default=dict, files=dict))


def test_a_storage_of_an_older_class_fits() -> None:
    """After a reload the kept storage is of the class that the old code knew by the same name."""
    older = type("FileStorage", (), {"__module__": FileStorage.__module__, "__qualname__": "FileStorage"})
    assert plan(taking(FileStorage), known(files=older)) == {"argument": ("storage", "files")}


def test_configuration_comes_first() -> None:
    """What the caller gives is taken, whatever its type, also where the annotation can't be read."""

    class Planner:
        def __init__(self, sessions: Manager, unknown: Unknown, tools: Tools) -> None: ...

    assert plan(Planner, known(), sessions=1, unknown=2) == {
        "sessions": ("config", "sessions"),
        "unknown": ("config", "unknown"),
        "tools": ("service", Tools),
    }


def test_an_argument_called_key_gets_the_key() -> None:
    """Where the service is built for a key; else its default counts, or it is missing."""

    class Planner:
        def __init__(self, key: str = "none") -> None: ...

    assert plan(Planner, known(), has_key=True) == {"key": ("key", "key")}
    assert plan(Planner, known()) == {}
    with pytest.raises(MissingArgument, match="'key'"):
        plan(taking(str, name="key"), known())


def test_defaults_stay_where_nothing_fills() -> None:
    """An argument with a default need not be known, nor its annotation be readable."""

    class Planner:
        def __init__(self, words: int = 3, unknown: Unknown = None, *rest: Tools, **more: Tools) -> None: ...

    assert plan(Planner, known(default=MemoryStorage)) == {}


def test_dataclasses_and_inherited_constructors_are_read() -> None:
    """Wherever the constructor comes from, its annotations are resolved where it was written."""

    @dataclasses.dataclass
    class Base:
        tools: Tools
        sessions: Annotated[Manager, "chat"]

    class Planner(Base):
        pass

    expected = {"tools": ("service", Tools), "sessions": ("sessions", "chat")}
    assert plan(Base, known()) == plan(Planner, known()) == expected
    assert plan(dict, known()) == plan(type("Bare", (), {}), known()) == {}


@pytest.mark.parametrize(
    ("annotation", "said"),
    [
        (int, "'argument' (int)"),
        ("Unknown", "'argument' (its annotation can't be read: NameError: name 'Unknown' is not defined)"),
        (Annotated[Storage, "chats"], "'argument' (Storage called \"chats\")"),
        (ToolsOfOldCode, "'argument' (ToolsOfOldCode)"),
        (Tools | Manager, f"'argument' ({Tools | Manager})"),
        (MemoryStorage, "'argument' (MemoryStorage)"),
    ],
)
def test_a_missing_argument_names_class_argument_and_what_is_known(annotation: object, said: str) -> None:
    """The error says what was wanted, where it may come from, and what there is."""
    with pytest.raises(MissingArgument) as error:
        plan(taking(annotation), known(one=MemoryStorage, two=MemoryStorage))
    message = str(error.value)
    assert message.startswith("Planner needs the argument ")
    assert "Known are the storages 'one', 'two', session managers (SessionManager) and the classes" in message
    assert said in message


def test_configuration_that_the_constructor_does_not_take_is_an_error() -> None:
    """A typing error is told with the names there are; `**options` takes everything."""
    with pytest.raises(ServiceError, match=r"Planner was given 'colour', .* does not take; it takes 'argument'"):
        plan(taking(int), known(), argument=1, colour=2)

    class Open:
        def __init__(self, a: int, /, b: int, *, c: int = 0, **options: int) -> None: ...

    assert set(plan(Open, known(), a=1, b=2, d=4)) == {"a", "b", "d"}
    bound = bind(Open, {"b": 2, "d": 4, "a": 1})
    assert (bound.args, bound.kwargs) == ((1, 2), {"d": 4})


def test_known_is_untouched() -> None:
    """Planning is pure: it changes none of its arguments."""
    storages: Mapping[str, type] = {"default": MemoryStorage}
    config: Mapping[str, object] = {"argument": 1}
    plan_arguments(
        taking(int), has_key=False, config=config, known=Known(storages, MemoryStorage, Manager, lambda _: False)
    )
    assert storages == {"default": MemoryStorage}
    assert config == {"argument": 1}
