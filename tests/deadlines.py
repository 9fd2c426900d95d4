"""How long tests wait before they call it a failure. It costs nothing when a test passes, and machines can be slow.

A test whose subject is a bound has its own.
"""

DEADLINE = 60.0  # seconds, for whatever is to happen
STOP_DEADLINE = 30.0  # seconds, for a process that was told to end
