"""What a new session starts with."""

from __future__ import annotations

from typing import Any

import pytest

from hotsession.lifecycle.beginning import first_data

pytestmark = pytest.mark.anyio


async def test_a_dict_is_copied() -> None:
    """Two sessions that start with one dict don't share it."""
    given = {"count": 0}
    made = await first_data(given)
    assert made == given
    assert made is not given


async def test_functions_of_both_kinds_are_called() -> None:
    """A function and a coroutine function make the data, which is taken as it is."""
    made: dict[str, Any] = {"count": 0}

    async def later() -> dict[str, Any]:
        return made

    assert await first_data(lambda: made) is made
    assert await first_data(later) is made


async def test_nothing_is_an_empty_dict() -> None:
    """Without data a session starts empty."""
    assert await first_data(None) == {}


async def test_anything_else_is_refused_by_name() -> None:
    """The error names the function that made it, or shows what was given."""

    def wrong() -> Any:
        return ["not a dict"]

    with pytest.raises(TypeError, match=r"wrong\(\) returned \['not a dict'\]"):
        await first_data(wrong)
    with pytest.raises(TypeError, match="data= is 7"):
        await first_data(7)  # type: ignore[arg-type]
