"""What the example's agent makes of a question, from its text alone."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from examples.agent.thinking import compose, plan, words
from examples.agent.tools import TOOLS, calculator, calendar, notes, weather

SPRING = {"tool": "weather", "arguments": {"city": "Lisbon", "month": "April"}}


def calls(question: str, earlier: dict[str, dict[str, Any]] | None = None) -> list[tuple[str, ...]]:
    return [(call["tool"], *call["arguments"].values()) for call in plan(question, earlier or {})]


@pytest.mark.parametrize("tool", TOOLS.values(), ids=TOOLS)
def test_each_tool_is_called_by_its_example(tool: Any) -> None:
    """The example of a tool plans one call, of that tool, which finds something."""
    (call,) = plan(tool.example, {})
    assert TOOLS[call["tool"]] is tool
    assert tool.use(**call["arguments"])


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("How warm is Oslo in winter, and what is 2 + 2?", [("weather", "Oslo", "January"), ("calculator", "2 + 2")]),
        (
            "The weather in Rome in May and in Kyoto?",
            [("weather", "Rome", "April"), ("weather", "Kyoto", "April")],
        ),
        ("How long until Halloween? Then search for tea.", [("calendar", "halloween"), ("notes", "tea")]),
        ("15 % of 80", [("calculator", "15 / 100 * 80")]),
        ("What is in 2 weeks?", [("calendar", "in 14 days")]),
        ("Lisbon", []),
        ("What can you do?", []),
        ("", []),
    ],
)
def test_a_question_becomes_a_plan(question: str, expected: list[tuple[str, ...]]) -> None:
    """Each part of a question calls at most one tool, in the order of the question."""
    assert calls(question) == expected


def test_a_question_goes_on_with_the_one_before() -> None:
    """What is not said is as it was: another city in the same month, another month in the same city."""
    earlier = {"weather": {"city": "Lisbon", "month": "April"}}
    assert calls("And in Oslo?", earlier) == [("weather", "Oslo", "April")]
    assert calls("And in summer?", earlier) == [("weather", "Lisbon", "July")]


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("12 * (30 + 5)", "420"),
        ("2 ** 10", "1,024"),
        ("-7 / 2", "-3.5"),
        ("1 / 0", "nothing at all: nobody can divide by zero"),
        ("2 ** 1000", "something that I can't reckon"),
        ("(2", "something that I can't reckon"),
        ("2 ** 0.5 ** -64 ** 3", "something that I can't reckon"),
    ],
)
def test_the_calculator_reckons_or_says_why_not(expression: str, value: str) -> None:
    """Sums have their value; what can't be reckoned, or would take for ever, is said to be so."""
    assert calculator.use(expression) == f"{expression} = {value}"


def test_the_calendar_knows_days_and_distances() -> None:
    """A day is told with its name and how far away it is; one that does not exist as well."""
    tomorrow = dt.datetime.now().astimezone().date() + dt.timedelta(days=1)
    assert calendar.use("in 1 days").endswith(f"{tomorrow:%B %Y}, tomorrow")
    assert calendar.use("2000-02-29").startswith("Tuesday, 29 February 2000, ")
    assert calendar.use("2001-02-29") == "there is no such day as 2001-02-29"
    assert calendar.use("christmas").startswith(tuple(f"{day}, 25 December" for day in _WEEKDAYS))


_WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


def test_the_files_are_read() -> None:
    """Weather and notes say what their files do, and that they don't when they don't."""
    assert weather.use("Lisbon", "April").startswith("Lisbon in April has 20 °C by day")
    assert weather.use("Atlantis", "April") == "the table knows nothing of Atlantis in April"
    assert "platform 4" in notes.use("the train")
    assert notes.use("submarines") == "nothing about submarines."


def test_an_answer_tells_each_result() -> None:
    """The answer has every result in it; without any tool it says what there is."""
    assert "20 °C" in compose("", [SPRING], ["20 °C"])
    for question in ("What can you do?", "Sing!"):
        assert all(tool.purpose in compose(question, [], []) for tool in TOOLS.values())


def test_the_words_of_an_answer_are_the_answer() -> None:
    """What is streamed piece by piece is the whole text, word for word."""
    text = compose("What can you do?", [], [])
    assert "".join(words(text)) == text
    assert len(words(text)) == len(text.split())
