"""Modules that the tests replace."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.living.generations import Code, some_code


@pytest.fixture
def code() -> Iterator[Code]:
    """The app's modules."""
    with some_code() as code:
        yield code
