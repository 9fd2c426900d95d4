"""Figures on paper: tables for the terminal and for Markdown, medians, and targets that are reached or not.

It knows nothing about what is measured.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median


@dataclass(frozen=True)
class Target:
    """A figure to reach.

    Args:
        text: What is measured.
        bound: The limit.
        figure: What was measured, None if it was not.
        unit: Written behind both.
        at_least: Whether the figure must reach the bound from above instead of staying below.
    """

    text: str
    bound: float
    figure: float | None
    unit: str = "ms"
    at_least: bool = False

    @property
    def verdict(self) -> str:
        """`reached`, `missed`, or `not measured`."""
        if self.figure is None:
            return "not measured"
        good = self.figure >= self.bound if self.at_least else self.figure <= self.bound
        return "reached" if good else "**missed**"

    def row(self) -> list[str]:
        """The cells of this target in a table."""
        sign = "≥" if self.at_least else "≤"
        measured = "" if self.figure is None else f"{number(self.figure)} {self.unit}"
        return [self.text, f"{sign} {number(self.bound)} {self.unit}", measured, self.verdict]


@dataclass(frozen=True)
class Table:
    """A heading row and rows of cells."""

    heads: Sequence[str]
    rows: Sequence[Sequence[str]]

    def markdown(self) -> str:
        """The table as Markdown."""
        lines = [self.heads, ["---", *["---:"] * (len(self.heads) - 1)], *self.rows]
        return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)

    def plain(self) -> str:
        """The table in columns for a terminal."""
        widths = [max(len(cells[column]) for cells in [self.heads, *self.rows]) for column in range(len(self.heads))]
        lines = [self.heads, ["-" * width for width in widths], *self.rows]
        return "\n".join(
            "  ".join(
                cell.ljust(width) if place == 0 else cell.rjust(width)
                for place, (cell, width) in enumerate(zip(cells, widths, strict=True))
            )
            for cells in lines
        )


def number(value: float | None, missing: str = "–") -> str:
    """A figure with about three digits: `0.42`, `9.3`, `412`, `1,768`."""
    if value is None:
        return missing
    if value == int(value) or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 1 else f"{value:.2f}"


def middle(values: Sequence[float]) -> float | None:
    """The median, or None of nothing."""
    return median(values) if values else None


def percentile(values: Sequence[float], share: float) -> float | None:
    """The value that this share of the values does not exceed, or None of nothing."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else None


def ratio(other: float | None, ours: float | None) -> float | None:
    """How many times the other takes as long as ours."""
    return other / ours if other is not None and ours else None


def parser(description: str | None) -> argparse.ArgumentParser:
    """A parser with what all benchmarks take: `--only`, `--quick` and `--markdown`."""
    made = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument(
        "--only", action="append", metavar="CONTENDER", help="only this contender (may be given more than once)"
    )
    made.add_argument("--quick", action="store_true", help="a short run, to see that it works: its figures mean little")
    made.add_argument("--markdown", action="store_true", help="print the result as it goes into the README")
    return made


def conditions() -> str:
    """The command, the day and the machine that figures were taken on."""
    command = f"python -m tests.benchmarks.{Path(sys.argv[0]).stem} {' '.join(sys.argv[1:])}".strip()
    load = os.getloadavg()[0]
    day = datetime.now(tz=UTC).date().isoformat()
    return (
        f"`{command}` on {day}, Python {platform.python_version()}, {os.cpu_count()} cores, load {load:.1f} at the end"
    )


def show(tables: Sequence[Table], targets: Sequence[Target], *, markdown: bool, notes: Sequence[str] = ()) -> None:
    """Print the tables, the targets with their verdicts, and how the figures were taken."""
    verdicts = Table(["target", "bound", "measured", ""], [target.row() for target in targets])
    everything = [*tables, *([verdicts] if targets else [])]
    texts = [table.markdown() if markdown else table.plain() for table in everything]
    print("\n" + "\n\n".join([conditions(), *texts, *notes]))
