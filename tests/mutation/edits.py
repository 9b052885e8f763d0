"""Finds the places of a source file where a small change should be noticed by a test.

Each change replaces exact bytes of the text and keeps every line where it is. Left alone, because nothing that runs
depends on them: docstrings, `__repr__`, lines that only log, what is for type checkers alone, annotations,
decorators, the `strict` of `zip`, and texts. Nor what only finds faults of the engine itself: `assert`, a raised
InvariantBroken, and `validate`, which tests and the simulation call.
"""

from __future__ import annotations

import ast
import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

COMPARISONS: dict[type[ast.cmpop], tuple[bytes, bytes]] = {
    ast.Lt: (rb"<(?!=)", b"<="),
    ast.LtE: (rb"<=", b"<"),
    ast.Gt: (rb">(?!=)", b">="),
    ast.GtE: (rb">=", b">"),
    ast.Eq: (rb"==", b"!="),
    ast.NotEq: (rb"!=", b"=="),
    ast.Is: (rb"\bis\b", b"is not"),
    ast.IsNot: (rb"\bis\s+not\b", b"is"),
    ast.In: (rb"\bin\b", b"not in"),
    ast.NotIn: (rb"\bnot\s+in\b", b"in"),
}
"""How each is written, and what it becomes."""
ARITHMETIC: dict[type[ast.operator], tuple[bytes, bytes]] = {ast.Add: (rb"\+", b"-"), ast.Sub: (rb"-", b"+")}
SWAPPED = {"min": b"max", "max": b"min", "any": b"all", "all": b"any"}
TRUTHS = (ast.Eq, ast.NotEq, ast.Is, ast.IsNot, ast.In, ast.NotIn)
"""Comparisons whose own mutant is their negation."""
TEXTS = (ast.JoinedStr, ast.List, ast.ListComp, ast.Tuple)
"""What can be added but not subtracted, beside constants."""
Function = (ast.FunctionDef, ast.AsyncFunctionDef)


@dataclass(frozen=True, slots=True)
class Edit:
    """One change: the bytes from `start` to `end` become `new`. `line` counts from 1."""

    line: int
    kind: str
    start: int
    end: int
    new: bytes

    def apply(self, source: bytes) -> bytes:
        """The whole text with the change."""
        return source[: self.start] + self.new + source[self.end :]


def edits(source: bytes) -> list[Edit]:
    """Every change of a file, in the order of the text. Whether each compiles is not looked at: see `compiles`."""
    finder = _Finder(source)
    finder.visit(ast.parse(source))
    return sorted(set(finder.found), key=lambda edit: (edit.start, edit.end, edit.new))


def compiles(source: bytes) -> bool:
    """Whether Python takes a text as a module."""
    try:
        compile(source, "mutant", "exec", dont_inherit=True)
    except SyntaxError:
        return False
    return True


class _Finder(ast.NodeVisitor):
    def __init__(self, source: bytes) -> None:
        self._source = source
        self._lines = [0, *itertools.accumulate(map(len, source.splitlines(keepends=True)))]
        self.found: list[Edit] = []

    def _start(self, node: ast.expr | ast.stmt) -> int:
        return self._lines[node.lineno - 1] + node.col_offset

    def _end(self, node: ast.expr | ast.stmt) -> int:
        assert node.end_lineno is not None
        assert node.end_col_offset is not None
        return self._lines[node.end_lineno - 1] + node.end_col_offset

    def _add(self, kind: str, start: int, end: int, new: bytes) -> None:
        line = self._source.count(b"\n", 0, start) + 1
        self.found.append(Edit(line, kind, start, end, new))

    def _operator(self, kind: str, left: ast.expr, right: ast.expr, written: bytes, new: bytes) -> None:
        """The operator that stands between two operands."""
        found = re.compile(written).search(self._source, self._end(left), self._start(right))
        if found is not None:
            self._add(kind, found.start(), found.end(), new)

    def _drop(self, kind: str, node: ast.stmt, new: bytes = b"pass") -> None:
        """A statement makes way for another; the lines after it keep their numbers."""
        start, end = self._start(node), self._end(node)
        self._add(kind, start, end, new + b"\n" * self._source.count(b"\n", start, end))

    # Expressions.

    def visit_Compare(self, node: ast.Compare) -> None:
        for op, (left, right) in zip(node.ops, itertools.pairwise([node.left, *node.comparators]), strict=True):
            self._operator("comparison", left, right, *COMPARISONS[type(op)])
        self.generic_visit(node)

    def visit_BinOp(self, node: ast.BinOp) -> None:
        if type(node.op) in ARITHMETIC and not (_is_text(node.left) or _is_text(node.right)):
            self._operator("arithmetic", node.left, node.right, *ARITHMETIC[type(node.op)])
        self.generic_visit(node)

    def visit_BoolOp(self, node: ast.BoolOp) -> None:
        written, new = (rb"\band\b", b"or") if isinstance(node.op, ast.And) else (rb"\bor\b", b"and")
        for left, right in itertools.pairwise(node.values):
            self._operator("and, or", left, right, written, new)
        self.generic_visit(node)

    def visit_UnaryOp(self, node: ast.UnaryOp) -> None:
        if isinstance(node.op, ast.Not):
            self._add("not", self._start(node), self._start(node.operand), b"")
        self.generic_visit(node)

    def visit_Constant(self, node: ast.Constant) -> None:
        start, end = self._start(node), self._end(node)
        if isinstance(node.value, bool):
            self._add("true, false", start, end, str(not node.value).encode())
        elif isinstance(node.value, int):
            for other in (node.value + 1, node.value - 1):
                self._add("number", start, end, b"%d" % other if other >= 0 else b"(%d)" % other)

    def visit_Call(self, node: ast.Call) -> None:
        name = node.func.id if isinstance(node.func, ast.Name) else ""
        if name in SWAPPED:
            self._add("min, max, any, all", self._start(node.func), self._end(node.func), SWAPPED[name])
        self.visit(node.func)
        for argument in node.args[1:] if name in ("cast", "TypeVar", "isinstance") else node.args:
            self.visit(argument)
        for keyword in node.keywords:
            if keyword.arg != "strict":
                self.visit(keyword.value)

    def visit_JoinedStr(self, node: ast.JoinedStr) -> None:
        """A text; and before Python 3.12 the places in it are not to be relied on."""

    def _condition(self, test: ast.expr) -> None:
        plain = isinstance(test, ast.Compare) and len(test.ops) == 1 and isinstance(test.ops[0], TRUTHS)
        if not plain and not isinstance(test, (ast.UnaryOp, ast.Constant)):
            start, end = self._start(test), self._end(test)
            self._add("condition", start, end, b"not (" + self._source[start:end] + b")")

    # Statements.

    def visit_If(self, node: ast.If) -> None:
        if isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            self._all(node.orelse)
            return
        self._condition(node.test)
        self.generic_visit(node)

    def visit_IfExp(self, node: ast.IfExp) -> None:
        self._condition(node.test)
        self.generic_visit(node)

    def visit_While(self, node: ast.While) -> None:
        self._condition(node.test)
        self.generic_visit(node)

    def visit_comprehension(self, node: ast.comprehension) -> None:
        for test in node.ifs:
            self._condition(test)
        self.generic_visit(node)

    def visit_Expr(self, node: ast.Expr) -> None:
        if isinstance(node.value, ast.Constant) or _only_logs(node.value):
            return
        self._drop("dropped call", node)
        self.generic_visit(node)

    def visit_Assign(self, node: ast.Assign) -> None:
        if all(isinstance(target, (ast.Attribute, ast.Subscript)) for target in node.targets):
            self._drop("dropped assignment", node)
        self.generic_visit(node)

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        self._drop("dropped assignment", node)
        if type(node.op) in ARITHMETIC and not _is_text(node.value):
            self._operator("arithmetic", node.target, node.value, *ARITHMETIC[type(node.op)])
        self.generic_visit(node)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if node.value is not None and not (isinstance(node.annotation, ast.Name) and "Alias" in node.annotation.id):
            self.visit(node.value)

    def visit_Delete(self, node: ast.Delete) -> None:
        self._drop("dropped del", node)

    def visit_Raise(self, node: ast.Raise) -> None:
        if not (isinstance(node.exc, ast.Call) and ast.unparse(node.exc.func) == "InvariantBroken"):
            self._drop("dropped raise", node)

    def visit_Break(self, node: ast.Break) -> None:
        self._drop("dropped break", node)

    def visit_Continue(self, node: ast.Continue) -> None:
        self._drop("dropped continue", node)

    def visit_Assert(self, node: ast.Assert) -> None:
        """For readers and type checkers."""

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        self._all(node.body)

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        if node.name in ("__repr__", "validate"):
            return
        for default in [*node.args.defaults, *node.args.kw_defaults]:
            if default is not None:
                self.visit(default)
        body = node.body[1:] if ast.get_docstring(node, clean=False) is not None else node.body
        if len(body) > 1:
            ends = (
                b"return; yield" if any(isinstance(one, (ast.Yield, ast.YieldFrom)) for one in own(node)) else b"return"
            )
            self._drop("early return", body[0], ends)
        for one in own(node):
            if isinstance(one, ast.Return) and one is not node.body[-1]:
                self._drop("dropped return", one)
        self._all(body)

    visit_AsyncFunctionDef = visit_FunctionDef  # noqa: N815

    def _all(self, nodes: Sequence[ast.stmt]) -> None:
        for node in nodes:
            self.visit(node)


def own(function: ast.AST) -> Iterator[ast.AST]:
    """What belongs to a function itself, not to one inside it."""
    for child in ast.iter_child_nodes(function):
        if not isinstance(child, (*Function, ast.Lambda, ast.ClassDef)):
            yield child
            yield from own(child)


def _is_text(node: ast.expr) -> bool:
    return isinstance(node, TEXTS) or (isinstance(node, ast.Constant) and isinstance(node.value, (str, bytes)))


def _only_logs(node: ast.expr) -> bool:
    while isinstance(node, (ast.Call, ast.Attribute)):
        node = node.func if isinstance(node, ast.Call) else node.value
    return isinstance(node, ast.Name) and node.id.strip("_") in ("log", "logger")
