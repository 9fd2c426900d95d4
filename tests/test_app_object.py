from __future__ import annotations

import functools
import logging
from types import ModuleType
from typing import Any

import pytest
from fastapi import APIRouter, FastAPI
from starlette.applications import Starlette
from starlette.routing import Route

from hotsession.app_object import find_app
from hotsession.errors import TargetError
from hotsession.target import Target


def module(**names: Any) -> ModuleType:
    """A module `main` with the given names in it."""
    made = ModuleType("main")
    vars(made).update(names)
    return made


async def asgi(scope: Any, receive: Any, send: Any) -> None:
    """An app that is a plain function."""


def wsgi(environ: Any, start_response: Any) -> list[bytes]:
    """An app of the older kind."""
    raise AssertionError("called")


class Asgi:
    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """An app that is an object."""


def never(*args: Any) -> Any:
    """Must not be called."""
    raise AssertionError("called")


def test_app_comes_before_application_and_api() -> None:
    """The usual names count in their order, whatever else is there."""
    first, second, third = Starlette(), Starlette(), Starlette()
    assert find_app(module(api=third, application=second, app=first)) is first
    assert find_app(module(api=third, application=second)) is second
    assert find_app(module(other=first, api=third)) is third


@pytest.mark.parametrize("app", [asgi, Asgi(), FastAPI(), functools.partial(asgi)])
def test_every_kind_of_asgi_app_counts(app: Any) -> None:
    """A function, an object, a FastAPI app or a partial under the name `app` is the app, and is not called."""
    assert find_app(module(app=app)) is app


def test_a_wsgi_app_is_taken_by_its_name() -> None:
    """For --interface wsgi: what can be called and is named `app` is the app."""
    assert find_app(module(app=wsgi)) is wsgi


def test_a_command_line_app_called_app_does_not_hide_the_api() -> None:
    """A Typer object is callable and often called `app`; the one that looks like ASGI wins."""
    api = FastAPI()
    assert find_app(module(app=never, api=api)) is api


def test_the_only_asgi_object_is_found_whatever_its_name() -> None:
    """A single app is found; routers, routes and classes are none, private names and aliases do not count."""
    server = FastAPI()
    others = {"router": APIRouter(), "route": Route("/", asgi), "FastAPI": FastAPI, "_old": FastAPI(), "alias": server}
    assert find_app(module(server=server, **others)) is server


def test_a_framework_app_comes_before_other_asgi_objects() -> None:
    """A FastAPI app beside an ASGI helper function is the app."""
    server = FastAPI()
    assert find_app(module(helper=asgi, server=server)) is server


def test_several_apps_are_ambiguous() -> None:
    """With two apps of other names the message lists both and says what to type."""
    with pytest.raises(TargetError, match="main has several apps, one, two: type `main:one`"):
        find_app(module(one=FastAPI(), two=FastAPI()))


@pytest.mark.parametrize("name", ["create_app", "make_app", "get_app"])
def test_factories_are_found_by_their_usual_names(name: str) -> None:
    """Without an app, a function of a usual name is called to get it."""
    app = FastAPI()
    assert find_app(module(**{name: lambda: app})) is app


def test_a_factory_with_defaults_is_called_without_arguments() -> None:
    """Optional arguments are left to their defaults."""
    app = FastAPI()
    assert find_app(module(create_app=lambda settings=None: app), "create_app") is app


def test_a_named_factory_is_called_with_a_note(caplog: pytest.LogCaptureFixture) -> None:
    """As uvicorn does: what can only be a factory is called without --factory, and the log says so."""
    app = FastAPI()
    with caplog.at_level(logging.WARNING, logger="hotsession"):
        assert find_app(module(build=lambda: app), "build") is app
    assert "main:build is an app factory: it was called; say so with `--factory`" in caplog.text


def test_the_flag_says_that_it_is_a_factory(caplog: pytest.LogCaptureFixture) -> None:
    """With --factory the usual factory names come first, a named one is called, and there is no note."""
    app = FastAPI()
    assert find_app(module(app=never, create_app=lambda: app), factory=True) is app
    assert find_app(module(build=lambda: app), "build", factory=True) is app
    assert not caplog.records


def test_dotted_attributes_are_followed() -> None:
    """`main:holder.app` is the attribute of an attribute."""
    app = FastAPI()
    holder = ModuleType("holder")
    vars(holder)["app"] = app
    assert find_app(module(holder=holder), "holder.app") is app


@pytest.mark.parametrize(
    ("names", "attribute", "factory", "message"),
    [
        ({}, None, False, r"no ASGI app in main \(looked for app, .*get_app\): it has nothing that could be called; "),
        ({"never": never}, None, False, r"it has never; give it an `app`, or name the module that has one"),
        ({"app": FastAPI()}, "ap", False, r"main has no 'ap': type `main:app`"),
        ({"create_app": never}, "ap", False, r"main has no 'ap': type `main:create_app --factory`"),
        ({"app": 42, "web": FastAPI()}, "app", False, r"main:app is an object of type int.*type `main:web`"),
        ({"app": ModuleType("app")}, None, False, r"no ASGI app in main"),
        ({"x": 42}, "x", True, r"main:x is an object of type int and can't be called: leave out `--factory`"),
        ({"create_app": lambda: None}, None, False, r"the factory main:create_app returned None, which is no ASGI"),
        ({"create_app": lambda a: a}, None, False, r"main:create_app\(a\) needs arguments: give them defaults"),
        ({}, None, True, r"no app factory in main \(looked for create_app, make_app, get_app, app"),
    ],
)
def test_says_what_is_there_and_what_to_type(
    names: dict[str, Any], attribute: str | None, factory: bool, message: str
) -> None:
    """Each way to find no app is an error with what was looked for, what is there and the next step."""
    with pytest.raises(TargetError, match=message):
        find_app(module(**names), attribute, factory=factory)


def test_an_async_factory_is_refused_before_it_is_called() -> None:
    """Nobody could await it, as under uvicorn; the message says what to do instead."""

    async def create_app() -> FastAPI:
        raise AssertionError("called")

    with pytest.raises(TargetError, match="asynchronous and nobody could await it: make it a plain function"):
        find_app(module(create_app=create_app))


def test_what_a_factory_raises_is_the_users_error() -> None:
    """An exception in the factory comes out as it is, with its own traceback."""

    def create_app() -> FastAPI:
        raise LookupError("no settings")

    with pytest.raises(LookupError, match="no settings"):
        find_app(module(create_app=create_app))


def test_a_target_finds_its_app_in_the_imported_module(tmp_path: Any) -> None:
    """`Target.app_from` looks for its attribute, or for the usual names without one."""
    app = FastAPI()
    assert Target("main", "web", False, tmp_path).app_from(module(web=app, app=FastAPI())) is app
    assert Target("main", None, False, tmp_path).app_from(module(app=app)) is app
