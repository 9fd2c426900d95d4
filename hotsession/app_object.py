"""Which object of a module is the app: by the name the user gave, by the usual names, or because there is only one.

It calls nothing but what is a factory by its name, by its signature, or because the user said so.
"""

from __future__ import annotations

import functools
import inspect
import logging
from collections.abc import Callable, Iterator, Mapping
from types import ModuleType
from typing import Any

from starlette.applications import Starlette
from starlette.routing import BaseRoute, Router

from hotsession.errors import TargetError

APP_NAMES = ("app", "application", "api")
FACTORY_NAMES = ("create_app", "make_app", "get_app")

logger = logging.getLogger("hotsession")


def find_app(module: ModuleType, attribute: str | None = None, *, factory: bool = False) -> object:
    """Return the app of the imported `module`.

    Args:
        module: where to look.
        attribute: the name of the app or its factory in the module, dots allowed; None to look for it.
        factory: what is found is called to get the app.

    Raises:
        TargetError: there is none, or more than one; the message says what is there and what to type.
    """
    if attribute is None:
        name, found = _search(module, factory)
    else:
        name, found = attribute, _attribute(module, attribute)
    label = f"{module.__name__}:{name}"
    if factory or _is_factory(found) or (name in FACTORY_NAMES and not _looks_like_asgi(found)):
        if not factory and name not in FACTORY_NAMES:
            logger.warning("%s is an app factory: it was called; say so with `--factory`", label)
        return _call_factory(found, label)
    if not callable(found):
        raise TargetError(f"{label} is {_a(found)}, which is no ASGI app: {_advice(module)}")
    return found


def _attribute(module: ModuleType, path: str) -> object:
    found: object = module
    for name in path.split("."):
        try:
            found = getattr(found, name)
        except AttributeError:
            raise TargetError(f"{module.__name__} has no {path!r}: {_advice(module)}") from None
    return found


def _search(module: ModuleType, factory: bool) -> tuple[str, object]:
    names = (*FACTORY_NAMES, *APP_NAMES) if factory else APP_NAMES
    there = _callables(module, names)
    if factory:
        found = next(iter(there), None)
    else:  # a Typer app is called `app` as well: what looks like ASGI comes before what can merely be called
        found = next((each for each in there if _looks_like_asgi(each[1]) or _is_factory(each[1])), None)
        found = found or _only_app(module) or next(iter((*there, *_callables(module, FACTORY_NAMES))), None)
    if found is None:
        what, wanted = ("app factory", names) if factory else ("ASGI app", (*names, *FACTORY_NAMES))
        raise TargetError(f"no {what} in {module.__name__} (looked for {', '.join(wanted)}): {_advice(module)}")
    return found


def _callables(module: ModuleType, names: tuple[str, ...]) -> list[tuple[str, object]]:
    return [(name, vars(module)[name]) for name in names if callable(vars(module).get(name))]


def _only_app(module: ModuleType) -> tuple[str, object] | None:
    """The one object of the module that looks like an ASGI app; a Starlette or FastAPI app before anything else."""
    apps = dict(_asgi_objects(module))
    whole = {name: app for name, app in apps.items() if isinstance(app, Starlette)}
    found = _distinct(whole) or _distinct(apps)
    if len(found) > 1:
        names = list(found)
        raise TargetError(
            f"{module.__name__} has several apps, {', '.join(names)}: type `{module.__name__}:{names[0]}`"
        )
    return next(iter(found.items()), None)


def _distinct(apps: Mapping[str, object]) -> dict[str, object]:
    seen: dict[int, str] = {}
    for name, app in apps.items():
        seen.setdefault(id(app), name)
    return {name: apps[name] for name in seen.values()}


def _asgi_objects(module: ModuleType) -> Iterator[tuple[str, object]]:
    for name, value in list(vars(module).items()):
        if name.startswith("_") or inspect.isclass(value) or isinstance(value, (Router, BaseRoute)):
            continue
        if _looks_like_asgi(value):
            yield name, value


def _looks_like_asgi(value: object) -> bool:
    """Whether `value` is a coroutine function of three arguments, or an object whose ``__call__`` is one."""
    if not callable(value):
        return False
    function = value if inspect.isroutine(value) else value.__call__
    return inspect.iscoroutinefunction(function) and _takes(value, 3) and not _takes(value, 2)


def _is_factory(value: object) -> bool:
    """Whether `value` is a function or class that can be called without arguments, as no kind of app can.

    uvicorn calls whatever it is given and takes a TypeError for "no factory"; here only the signature is read.
    """
    if not (inspect.isfunction(value) or inspect.isclass(value) or isinstance(value, functools.partial)):
        return False
    return _takes(value, 0) and not _takes(value, 9)  # with *args it could be anything


def _takes(value: Any, count: int) -> bool:
    try:
        inspect.signature(value).bind(*range(count))
    except (TypeError, ValueError):  # does not fit, or a builtin without a signature
        return False
    return True


def _call_factory(factory: Any, label: str) -> object:
    if not callable(factory):
        raise TargetError(f"{label} is {_a(factory)} and can't be called: leave out `--factory`")
    if inspect.iscoroutinefunction(factory):
        raise TargetError(
            f"the factory {label} is asynchronous and nobody could await it: "
            f"make it a plain function, and do the awaiting in the app's lifespan"
        )
    if not _takes(factory, 0) and _has_signature(factory):
        raise TargetError(
            f"the factory {label}{inspect.signature(factory)} needs arguments: "
            f"give them defaults, or name a function without arguments"
        )
    app = factory()
    if not callable(app):
        raise TargetError(f"the factory {label} returned {_a(app)}, which is no ASGI app: let it return the app")
    return app


def _has_signature(value: Callable[..., Any]) -> bool:
    try:
        inspect.signature(value)
    except (TypeError, ValueError):
        return False
    return True


def _a(value: object) -> str:
    return "None" if value is None else f"an object of type {type(value).__name__}"


def _advice(module: ModuleType) -> str:
    """What to type, by what is in the module."""
    apps = [name for name, value in vars(module).items() if not name.startswith("_") and isinstance(value, Starlette)]
    apps = apps or list(dict(_asgi_objects(module)))
    factories = [name for name in FACTORY_NAMES if callable(getattr(module, name, None))]
    if apps:
        return f"type `{module.__name__}:{apps[0]}`"
    if factories:
        return f"type `{module.__name__}:{factories[0]} --factory`"
    names = [name for name, value in vars(module).items() if not name.startswith("_") and callable(value)][:8]
    has = f"it has {', '.join(names)}" if names else "it has nothing that could be called"
    return f"{has}; give it an `app`, or name the module that has one"
