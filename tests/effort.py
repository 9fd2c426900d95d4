"""How often a test tries what it tries; knows no test.

`HOTSESSION_TESTS=thorough python -m pytest` takes its time: more random input, more kills, more saves.
"""

import os

THOROUGH = os.environ.get("HOTSESSION_TESTS") == "thorough"


def times(usually: int, thorough: int) -> int:
    """How often: `usually`, or `thorough` when there is time."""
    return thorough if THOROUGH else usually
