"""What the source of a user's function shows before any record is processed.

Only what is certain counts. A function without source (built in, or wrapped by a decorator) shows nothing.
"""

from __future__ import annotations

import ast
import builtins
import inspect
import textwrap
from collections.abc import Iterator
from types import FunctionType, MethodType
from typing import Any

_PASSED = (ast.Expr, ast.Assign, ast.AugAssign, ast.AnnAssign, ast.Return, ast.Pass, ast.Delete, ast.For)
"""Statements that execution passes, or that end the function without a value (a bare `return`)."""
_SEVERAL = (ast.List, ast.Tuple, ast.Set, ast.ListComp, ast.SetComp, ast.GeneratorExp)
"""Expressions that make something with items."""


def gives_nothing(fn: Any) -> bool:
    """Whether a `def` can only end without a value: it has no `return` with a value (even None), and no `yield`.

    >>> gives_nothing(len), gives_nothing(lambda value: None)
    (False, False)
    """
    function = _function(fn)
    tree = None if function is None else _tree(function)
    if function is None or tree is None or inspect.isgeneratorfunction(function):
        return False
    return not any(node.value is not None for node in _own(tree) if isinstance(node, ast.Return)) and _ends(tree.body)


def returned_classes(fn: Any) -> list[type[Any]]:
    """The classes of the results that `return` statements make on the spot: a literal, or a call of a class."""
    function = _function(fn)
    tree = None if function is None else _tree(function)
    if function is None or tree is None or inspect.isgeneratorfunction(function):
        return []
    made = (_class_of(node.value, function) for node in _own(tree) if isinstance(node, ast.Return))
    return [kind for kind in made if kind is not None]


def returns_several(fn: Any) -> bool:
    """Whether it is a generator function, or a `return` statement makes a list or the like on the spot."""
    function = _function(fn)
    if function is None or inspect.isgeneratorfunction(function):
        return function is not None
    tree = _tree(function)
    return tree is not None and any(isinstance(n.value, _SEVERAL) for n in _own(tree) if isinstance(n, ast.Return))


def attributes_set(method: Any) -> Iterator[tuple[str, int]]:
    """The names of attributes that a method assigns to or deletes on its first argument, each with its line."""
    for node in _uses_of_argument(method, 0):
        if not isinstance(node.ctx, ast.Load):
            yield node.attr, node.lineno


def attributes_used(method: Any, argument: int) -> set[str]:
    """The names of attributes that a method reads from one of its arguments; `self` is argument 0."""
    return {node.attr for node in _uses_of_argument(method, argument) if isinstance(node.ctx, ast.Load)}


def _uses_of_argument(method: Any, argument: int) -> Iterator[ast.Attribute]:
    function = _function(method)
    tree = None if function is None else _tree(function)
    if tree is None or len(tree.args.posonlyargs + tree.args.args) <= argument:
        return
    name = (tree.args.posonlyargs + tree.args.args)[argument].arg
    first = 0 if function is None else function.__code__.co_firstlineno - 1
    nodes: list[ast.AST] = list(tree.body)
    while nodes:
        node = nodes.pop()
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == name:
            node.lineno += first
            yield node
        if not any(each.arg == name for each in _arguments(node)):  # otherwise the name means something else in there
            nodes += ast.iter_child_nodes(node)


def _arguments(node: ast.AST) -> list[ast.arg]:
    if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
        return []
    return [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]


def _function(fn: Any) -> FunctionType | None:
    """The Python function behind a function or a method; None for a wrapper, whose source is of another function."""
    if isinstance(fn, MethodType):
        fn = fn.__func__
    return fn if isinstance(fn, FunctionType) and not hasattr(fn, "__wrapped__") else None


def _tree(function: FunctionType) -> ast.FunctionDef | None:
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    except (OSError, TypeError, SyntaxError, ValueError):
        return None
    found = tree.body[0] if tree.body else None
    return found if isinstance(found, ast.FunctionDef) and found.name == function.__name__ else None


def _own(tree: ast.FunctionDef) -> Iterator[ast.AST]:
    """The nodes of a function without those of the functions and classes inside of it."""
    nodes: list[ast.AST] = list(tree.body)
    while nodes:
        node = nodes.pop()
        yield node
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda | ast.ClassDef):
            nodes += ast.iter_child_nodes(node)


def _ends(body: list[ast.stmt]) -> bool:
    """Whether the end of `body` can be reached, as far as its last statement shows."""
    last = body[-1]
    if isinstance(last, ast.If):
        return not last.orelse or _ends(last.body) or _ends(last.orelse)
    if isinstance(last, ast.With):
        return _ends(last.body)
    if isinstance(last, ast.Try):
        return any(map(_ends, [last.orelse or last.body, *(handler.body for handler in last.handlers)]))
    return isinstance(last, _PASSED)


def _class_of(node: ast.expr | None, function: FunctionType) -> type[Any] | None:
    if isinstance(node, ast.Dict | ast.DictComp):
        return dict
    if isinstance(node, ast.JoinedStr):
        return str
    if isinstance(node, ast.Constant):
        return None if node.value is None else type(node.value)
    if isinstance(node, ast.Call):
        made = _resolved(node.func, function)
        return made if isinstance(made, type) else None
    return None


def _resolved(node: ast.expr, function: FunctionType) -> Any:
    """What a name (`Alert`, `models.Alert`) means in a function now; None if that is unknown."""
    if isinstance(node, ast.Attribute):
        owner = _resolved(node.value, function)
        return None if owner is None else inspect.getattr_static(owner, node.attr, None)
    if not isinstance(node, ast.Name) or node.id in function.__code__.co_varnames:
        return None
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        if name == node.id:
            try:
                return cell.cell_contents
            except ValueError:
                return None  # not assigned yet
    return function.__globals__.get(node.id, vars(builtins).get(node.id))
