"""What does not fit into a codec, and where in the data it stands. Knows no codec and no type."""

from __future__ import annotations

import json


class Misfit(Exception):
    """A value that does not fit, and the way to it: each level that it passes on its way up adds its step.

    It never leaves the codec, which makes an error of the public tree of it.

    Args:
        type: the type's name, or the tag.
        reason: a clause that says what is wrong.
        cure: a sentence that says what to do.
    """

    def __init__(self, type: str, reason: str, cure: str) -> None:
        super().__init__(reason)
        self.type, self.reason, self.cure = type, reason, cure
        self._steps: list[str] = []  # from the innermost
        self._owners: list[int] = []  # the ids of what they lead into

    def passes(self, owner: object, step: str) -> None:
        """It was found inside of `owner`."""
        self._steps.append(step)
        self._owners.append(id(owner))

    def reads_as(self, inside: str, owner: object) -> None:
        """The last step led into parts of `owner`: write it as one into itself."""
        if not self._steps:
            return
        self._owners[-1] = id(owner)
        if inside == "element":
            self._steps[-1] = "{...}"
        elif inside == "attribute":
            self._steps[-1] = "." + json.loads(self._steps[-1][1:-1])

    @property
    def is_loop(self) -> bool:
        """Whether something on the way contains itself."""
        return len({*self._owners}) < len(self._owners)

    @property
    def path(self) -> str:
        """The way as one would write it in Python; ends where something that contains itself comes again."""
        seen: set[int] = set()
        steps: list[str] = []
        for owner, step in zip(reversed(self._owners), reversed(self._steps), strict=True):
            if owner in seen:
                break
            seen.add(owner)
            steps.append(step)
        return "data" + "".join(steps)


def step(key: str | int) -> str:
    """How a path goes into a dict or a list."""
    return f"[{json.dumps(key, ensure_ascii=False)}]"


def type_name(cls: type) -> str:
    """What messages call a type: with its module, unless everybody knows it."""
    return cls.__qualname__ if cls.__module__ == "builtins" else f"{cls.__module__}.{cls.__qualname__}"
