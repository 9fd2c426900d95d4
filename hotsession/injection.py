"""Which constructor argument of a service is filled by what. Pure: it reads signatures and hands out a plan.

It knows managers, storages and services only by the types that it is told, and touches none of them.
"""

from __future__ import annotations

import inspect
import sys
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from hotsession.errors import MissingArgument, ServiceError

_EMPTY = inspect.Parameter.empty
_COMMON = (None, "builtins", "typing", "collections", "collections.abc")  # types that say nothing of a storage
_VARIADIC = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


@dataclass(frozen=True, slots=True)
class Known:
    """What there is to fill arguments with, besides configuration.

    Args:
        storages: the type of each storage by its name.
        storage: the type that stands for any storage.
        manager: the type of session managers.
        is_service: whether a class is a service.
    """

    storages: Mapping[str, type]
    storage: type
    manager: type
    is_service: Callable[[object], bool]


@dataclass(frozen=True, slots=True)
class Filling:
    """What fills one argument.

    Args:
        name: of the argument.
        source: where the value comes from.
        what: the name there, or the service's class.
    """

    name: str
    source: Literal["config", "key", "storage", "sessions", "service"]
    what: Any


@dataclass(frozen=True, slots=True)
class Wanted:
    """What an annotation asks for.

    Args:
        type: the class, without ``None`` beside it; None where nothing is said.
        label: the text beside it, as in ``Annotated[SessionManager, "chat"]``.
        problem: why the annotation can't be read, if it can't.
    """

    type: Any = None
    label: str | None = None
    problem: str | None = None


def plan_arguments(cls: type, *, has_key: bool, config: Mapping[str, object], known: Known) -> tuple[Filling, ...]:
    """Say what fills each constructor argument of `cls`; what has a default and is filled by nothing is left out.

    The order is: configuration by name, the service's own key for an argument called ``key``, session managers by
    type, storages by type or name, services by type.

    Args:
        cls: the service.
        has_key: whether it is built for a key.
        config: what the caller gives by name.
        known: what else there is.

    Raises:
        MissingArgument: nothing fills an argument that has no default.
        ServiceError: the configuration has a name that the constructor does not take.
    """
    parameters = signature_of(cls).parameters
    _check_config(cls, parameters, config)
    fillings = [Filling(name, "config", name) for name in config]
    for name, parameter in parameters.items():
        if name in config or parameter.kind in _VARIADIC:
            continue
        wanted = _wanted(cls, parameter)
        filling = Filling(name, "key", name) if name == "key" and has_key else _filling(name, wanted, known)
        if filling is not None:
            fillings.append(filling)
        elif parameter.default is _EMPTY:
            raise MissingArgument(_missing(cls, name, wanted, known))
    return tuple(fillings)


def bind(cls: type, values: Mapping[str, object]) -> inspect.BoundArguments:
    """Put values by name into the form in which the constructor takes them."""
    signature = signature_of(cls)
    arguments = {name: values[name] for name in signature.parameters if name in values}
    extra = {name: value for name, value in values.items() if name not in arguments}
    if extra:
        arguments[_extra_name(signature.parameters) or ""] = extra
    return inspect.BoundArguments(signature, arguments)


def signature_of(cls: type) -> inspect.Signature:
    """The constructor's signature; of a builtin that has none, an empty one."""
    try:
        return inspect.signature(cls)
    except ValueError:
        return inspect.Signature()


def _filling(name: str, wanted: Wanted, known: Known) -> Filling | None:
    if _is_same(wanted.type, known.manager):
        return Filling(name, "sessions", wanted.label or "default")
    storage = _storage_name(name, wanted, known)
    if storage is not None:
        return Filling(name, "storage", storage)
    return Filling(name, "service", wanted.type) if known.is_service(wanted.type) else None


def _storage_name(name: str, wanted: Wanted, known: Known) -> str | None:
    """The storage that fits: of the name in the annotation, else of the argument's, the default, the only one."""
    if wanted.label is not None:
        return wanted.label if _fits(known.storages.get(wanted.label), wanted, known) else None
    if _fits(known.storages.get(name), wanted, known):
        return name
    if _is_same(wanted.type, known.storage):
        return "default"
    if getattr(wanted.type, "__module__", None) in _COMMON:
        return None
    fitting = [each for each, found in known.storages.items() if _fits(found, wanted, known)]
    return "default" if "default" in fitting else fitting[0] if len(fitting) == 1 else None


def _fits(found: type | None, wanted: Wanted, known: Known) -> bool:
    """Whether a storage of type `found` is what the annotation asks for; without one anything is."""
    if found is None:
        return False
    if wanted.type in (None, Any, object) or _is_same(wanted.type, known.storage):
        return True
    if not isinstance(wanted.type, type):
        return False
    # By name as well: the storage may be older than the class that reloaded code knows by this name.
    return any(_is_same(base, wanted.type) for base in found.__mro__) or _is_subclass(found, wanted.type)


def _is_subclass(found: type, wanted: type) -> bool:
    try:
        return issubclass(found, wanted)
    except TypeError:  # a Protocol that can't be asked
        return False


def _is_same(one: object, other: type) -> bool:
    if not isinstance(one, type):
        return False
    return one is other or (one.__module__, one.__qualname__) == (other.__module__, other.__qualname__)


# annotations


def _wanted(cls: type, parameter: inspect.Parameter) -> Wanted:
    if parameter.annotation is _EMPTY:
        return Wanted()
    namespace = _namespace(cls)
    holder = types.SimpleNamespace(__annotations__={parameter.name: parameter.annotation})
    try:
        hints = typing.get_type_hints(holder, namespace, {cls.__name__: cls}, include_extras=True)
    except Exception as error:  # noqa: BLE001 - an annotation may be any expression; the message tells of it if it matters
        return Wanted(problem=f"{type(error).__name__}: {error}")
    return _read(hints[parameter.name])


def _namespace(cls: type) -> dict[str, Any]:
    """The globals of the module that the constructor was written in: its own generation's, not the newest ones."""
    for function in (cls.__init__, cls.__new__):  # type: ignore[misc]  # of a class, not of an instance
        found = getattr(inspect.unwrap(function), "__globals__", None)
        if found is not None:
            return found  # type: ignore[no-any-return]
    return vars(sys.modules[cls.__module__]) if cls.__module__ in sys.modules else {}


def _read(annotation: Any, label: str | None = None) -> Wanted:
    origin = typing.get_origin(annotation)
    if origin is typing.Annotated:
        texts = [each for each in annotation.__metadata__ if isinstance(each, str)]
        return _read(annotation.__origin__, label or next(iter(texts), None))
    if origin in (typing.Union, types.UnionType):
        members = [each for each in typing.get_args(annotation) if each is not types.NoneType]
        return _read(members[0], label) if len(members) == 1 else Wanted(annotation, label)
    if hasattr(annotation, "__value__"):  # `type Chats = Annotated[...]`
        return _read(annotation.__value__, label)
    return Wanted(origin or annotation, label)


# errors


def _check_config(cls: type, parameters: Mapping[str, inspect.Parameter], config: Mapping[str, object]) -> None:
    takes = [name for name, parameter in parameters.items() if parameter.kind not in _VARIADIC]
    unknown = [name for name in config if name not in takes]
    if unknown and _extra_name(parameters) is None:
        raise ServiceError(
            f"{cls.__qualname__} was given {_list(unknown)}, which its constructor does not take; "
            f"it takes {_list(takes) or 'no arguments'}"
        )


def _extra_name(parameters: Mapping[str, inspect.Parameter]) -> str | None:
    return next((name for name, each in parameters.items() if each.kind is inspect.Parameter.VAR_KEYWORD), None)


def _missing(cls: type, name: str, wanted: Wanted, known: Known) -> str:
    label = "" if wanted.label is None else f' called "{wanted.label}"'
    said = (
        ""
        if wanted.type is None
        else f" ({wanted.type.__name__ if isinstance(wanted.type, type) else wanted.type}{label})"
    )
    if wanted.problem is not None:
        said = f" (its annotation can't be read: {wanted.problem})"
    return (
        f"{cls.__qualname__} needs the argument {name!r}{said}, and nothing known fills it: give it as configuration, "
        f"{name}=..., or as a default. Known are the storages {_list(known.storages) or '(none yet)'}, "
        "session managers (SessionManager) and the classes decorated with @hotsession.service"
    )


def _list(names: typing.Iterable[str]) -> str:
    return ", ".join(map(repr, names))
