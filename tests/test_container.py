"""The container of one generation: building once, and closing in the reverse order."""

from __future__ import annotations

import pytest

from hotsession.container import Container, shorten
from hotsession.errors import ServiceConflict
from hotsession.kept import sessions, storage

pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])]


class Closing:
    """A service that says that it was closed."""

    def __init__(self, closed: list[str], **config: object) -> None:
        self.closed = closed
        self.name = type(self).__name__

    def close(self) -> None:
        """Note it."""
        self.closed.append(self.name)


class First(Closing):
    """One service."""


class Second(Closing):
    """One that is closed asynchronously, and never by the plain method as well."""

    async def aclose(self) -> None:
        """Note it."""
        self.closed.append(f"{self.name} asynchronously")


class Broken(Closing):
    """One that can't be closed."""

    def close(self) -> None:
        """Fail."""
        raise OSError("already gone")


async def test_what_is_built_is_found_by_class_and_key() -> None:
    """Each key has its instance, and the container counts them by class."""
    container, closed = Container(), list[str]()
    config = {"closed": closed}
    one = await container.get(First, None, config)
    assert await container.get(First, None, config) is one
    assert await container.get(First, ("a", 1), config) is not one
    await container.get(Second, None, config)
    assert container.names() == {"First": 2, "Second": 1}
    assert len(container) == 3
    assert repr(container) == "<Container First: 2, Second: 1>"


async def test_other_configuration_is_a_conflict() -> None:
    """The error names what differs, also where one side does not say it."""
    container, closed = Container(), list[str]()
    await container.get(First, "a", {"closed": closed, "words": 1})
    with pytest.raises(
        ServiceConflict, match=r"First\['a'\] is live with other configuration, of 'words' and 'colour'"
    ):
        await container.get(First, "a", {"closed": closed, "words": 2, "colour": 3})


async def test_services_are_closed_in_the_reverse_order_of_their_building() -> None:
    """By `aclose` where there is one, else by `close`, else not at all."""
    container, closed = Container(), list[str]()
    await container.get(First, None, {"closed": closed})
    await container.get(dict)
    await container.get(Second, None, {"closed": closed})
    assert await container.dispose() == ()
    assert closed == ["Second asynchronously", "First"]
    assert len(container) == 0


async def test_one_that_fails_is_logged_by_name_and_the_others_are_closed(caplog: pytest.LogCaptureFixture) -> None:
    """The failure is in the log with its traceback, and in the result."""
    container, closed = Container(), list[str]()
    for cls in (First, Broken, Second):
        await container.get(cls, "a key", {"closed": closed})
    [failure] = await container.dispose()
    assert failure.what == "close of Broken['a key']"
    assert str(failure.error) == "already gone"
    assert closed == ["Second asynchronously", "First"]
    assert caplog.messages == ["close of Broken['a key'] failed: OSError: already gone"]
    assert "raise OSError" in caplog.text


async def test_what_is_asked_for_after_the_end_is_built_anew_and_closed_by_the_next() -> None:
    """Code that outlasts its generation still gets its services."""
    container, closed = Container(), list[str]()
    one = await container.get(First, None, {"closed": closed})
    await container.dispose()
    assert await container.get(First, None, {"closed": closed}) is not one
    await container.dispose()
    assert closed == ["First", "First"]


async def test_what_outlives_the_generation_is_not_closed() -> None:
    """Storages, managers and what else was given to a service are not the container's to close."""

    class Given:
        def close(self) -> None:
            raise AssertionError

    class Planner:
        def __init__(self, **given: object) -> None:
            self.given = given

    container = Container()
    await container.get(Planner, None, {"storage": storage("plans"), "manager": sessions(), "given": Given()})
    assert await container.dispose() == ()


async def test_a_proxy_that_has_every_attribute_has_no_closing_method() -> None:
    """Only a method of the class closes it."""

    class Proxy:
        def __getattr__(self, name: str) -> object:
            raise AssertionError(name)

    container = Container()
    await container.get(Proxy)
    assert await container.dispose() == ()


@pytest.mark.parametrize(
    ("key", "shown"), [("short", "'short'"), ("sk-0123456789", "'sk-0123…"), (("anna", "eve"), "('anna',…")]
)
async def test_long_keys_are_shortened(key: object, shown: str) -> None:
    """A key may be a secret: messages show its beginning."""
    assert shorten(key) == shown
