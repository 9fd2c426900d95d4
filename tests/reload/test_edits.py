"""What an edit does to the modules of a small project: the plan it leads to, and what new code sees afterwards."""

from __future__ import annotations

import pytest

from tests.projects import Project

pytestmark = pytest.mark.anyio

MAIN = """
    from tests.projects import answering
    from services import answer

    app = answering(globals())

    def index():
        return answer()
"""


async def test_from_import_of_a_function_in_three_levels(project: Project) -> None:
    """An edit at the bottom of a chain of `from x import f` shows at the top."""
    await project.start(
        {
            "main.py": MAIN,
            "services.py": "from rules import answer",
            "rules.py": "def answer(): return 'old'",
        }
    )
    assert await project.get() == "old"
    outcome = await project.reload({"rules.py": "def answer(): return 'new'"})
    assert set(outcome.modules) == {"rules", "services", "main"}
    assert outcome.modules[0] == "rules"
    assert await project.get() == "new"
