"""How often a test tries what it tries; knows no test.

`HOTSESSION_TESTS=thorough python -m pytest` takes its time: more random input, more kills, more saves. Where only fast
tests are asked for (`-m "not e2e"`), what is random or repeated is tried less often: the whole suite makes up for it.
"""

import os
from enum import StrEnum


class Effort(StrEnum):
    """How much of it a run of the tests makes."""

    QUICK = "quick"
    USUAL = "usual"
    THOROUGH = "thorough"


_chosen = Effort(os.environ.get("HOTSESSION_TESTS") or Effort.USUAL)


def be_quick() -> None:
    """Try less, unless somebody asked for a certain effort. Goes before the tests are imported."""
    global _chosen
    if "HOTSESSION_TESTS" not in os.environ:
        _chosen = Effort.QUICK


def times(usually: int, thorough: int, quickly: int | None = None) -> int:
    """How often: `usually`, `thorough` when there is time, or `quickly` when there is none."""
    if _chosen == Effort.QUICK and quickly is not None:
        return quickly
    return thorough if _chosen == Effort.THOROUGH else usually
