"""Reckons: sums, products, powers, and percents."""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Callable
from typing import Any

from .tool import Tool

_EXPRESSION = re.compile(r"[\d(][\d\s().*/+^%x×÷-]*")
_PERCENT = re.compile(r"([\d.]+)\s*(?:%|percent)\s+of\s+([\d.]+)", re.IGNORECASE)
_OPERATORS: dict[type[ast.AST], Callable[..., Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: operator.pow,
    ast.USub: operator.neg,
}
LARGEST_POWER = 64


def spot(text: str, earlier: dict[str, Any]) -> dict[str, Any] | None:
    """An expression with an operator in it, or some percent of something."""
    if percent := _PERCENT.search(text):
        return {"expression": f"{percent[1]} / 100 * {percent[2]}"}
    for found in _EXPRESSION.findall(text):
        expression = found.strip().replace("x", "*").replace("×", "*").replace("÷", "/").replace("^", "**")
        if re.search(r"\d\s*\)*\s*[*/+-]", expression):
            return {"expression": expression.rstrip("+-*/ ")}
    return None


def use(expression: str) -> str:
    """The value of an expression, or what is wrong with it."""
    try:
        value = _value(ast.parse(expression, mode="eval").body)
    except ZeroDivisionError:
        return f"{expression} = nothing at all: nobody can divide by zero"
    except (SyntaxError, ValueError, OverflowError):
        return f"{expression} = something that I can't reckon"
    return f"{expression} = {value:,.10g}"


def _value(node: ast.AST) -> float:
    match node:
        case ast.Constant(value=int() | float() as number):
            return number
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return -_value(operand)
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _OPERATORS:
            one, other = _value(left), _value(right)
            if isinstance(op, ast.Pow) and abs(other) > LARGEST_POWER:
                raise ValueError(other)
            result: float = _OPERATORS[type(op)](one, other)
            return result
    raise ValueError(ast.dump(node))


tool = Tool("reckon", "What is 12 * (30 + 5)?", spot, use)
