"""Mutants of the rules: each lacks one check or condition, or has one bound off by one.

A mutant is made from the module's syntax tree and put in place by swapping the function's code, so
that everybody who imported the function runs it. Taking it out again puts the old code back.
"""

import ast
import copy
import importlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, FunctionType, ModuleType

RULES = Path(__file__).resolve().parents[2] / "ledger" / "rules"
ORDER = (ast.Lt, ast.LtE, ast.Gt, ast.GtE)
Function = ast.FunctionDef
Change = Callable[[ast.AST], ast.AST]


@dataclass(frozen=True, kw_only=True)
class Mutant:
    """A changed function of the rules."""

    module: str
    function: str
    """Its qualified name."""
    line: int
    text: str
    """What was changed, as it stands in the source and how it was changed."""
    codes: tuple[str, ...]
    """Names of the refusals that the function raises."""
    code: CodeType

    @property
    def name(self) -> str:
        """Return what it is, wherever it stands."""
        return f"{self.module}.{self.function}: {self.text}"

    def __str__(self) -> str:
        return f"{self.module}.py:{self.function}:{self.line} {self.text}"


def mutants() -> list[Mutant]:
    """Return all mutants of all rules, in the order of the source."""
    found: list[Mutant] = []
    for path in sorted(RULES.glob("*.py")):
        if path.stem != "refusals":
            found += _of_module(path)
    return found


def _of_module(path: Path) -> Iterator[Mutant]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for name, function in _functions(tree):
        raised = tuple(_refusal(node) for node in _walk(function) if _is_refusal(node))
        for position, node in enumerate(_walk(function)):
            for text, change in _changes(function, node):
                yield Mutant(
                    module=path.stem,
                    function=name,
                    line=getattr(node, "lineno", function.lineno),
                    text=text,
                    codes=(_refusal(node),) if _is_refusal(node) else raised,
                    code=_code(path, function, position, change),
                )


def _functions(tree: ast.Module) -> Iterator[tuple[str, Function]]:
    for node in tree.body:
        if isinstance(node, Function):
            yield node.name, node
        if isinstance(node, ast.ClassDef):
            for inner in node.body:
                if isinstance(inner, Function):
                    yield f"{node.name}.{inner.name}", inner


def _walk(function: Function) -> list[ast.AST]:
    """Return the nodes of a function, without its assertions: those are no rules."""
    asserted = {
        inner
        for node in ast.walk(function)
        if isinstance(node, ast.Assert)
        for inner in ast.walk(node)
    }
    return [node for node in ast.walk(function) if node not in asserted]


def _is_refusal(node: ast.AST) -> bool:
    return isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call)


def _refusal(node: ast.AST) -> str:
    assert isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call)
    return ast.unparse(node.exc.func)


def _answers(function: Function, kind: str) -> bool:
    return function.returns is not None and ast.unparse(function.returns) == kind


def _changes(function: Function, node: ast.AST) -> Iterator[tuple[str, Change]]:
    """Yield how a node of a function can be changed, in words and as a change."""
    match node:
        case ast.Raise() if _is_refusal(node):
            yield f"without raise {_refusal(node)}", never
        case ast.Return(value=value) if _answers(function, "str | None") and not _is_none(value):
            yield f"without return {ast.unparse(node)[7:40]}", never
        case ast.BoolOp(values=values):
            for place, operand in enumerate(values):
                yield f"without `{short(operand)}` in `{short(node)}`", drop(place)
        case ast.Compare(ops=ops):
            for place, op in enumerate(ops):
                if isinstance(op, ORDER):
                    for by in (1, -1):
                        yield f"`{short(node)}` off by {by:+d} at {place}", shift(place, by)
                elif isinstance(op, ast.Eq | ast.NotEq) and _is_sum(node, place):
                    yield f"`{short(node)}` off by +1", shift(place, 1)


def short(node: ast.AST) -> str:
    """Return a piece of source, short enough for a name."""
    return ast.unparse(node)[:70]


def _is_none(value: ast.expr | None) -> bool:
    return value is None or (isinstance(value, ast.Constant) and value.value is None)


def _is_sum(node: ast.Compare, place: int) -> bool:
    """Return whether an equality is between numbers that were reckoned."""
    sides = (([node.left, *node.comparators])[place], node.comparators[place])
    return any(isinstance(side, ast.BinOp) or ast.unparse(side).isupper() for side in sides)


def never(_: ast.AST) -> ast.AST:
    """Do nothing instead."""
    return ast.Pass()


def drop(place: int) -> Change:
    """Make one side of an `and` or `or` say nothing."""

    def change(node: ast.AST) -> ast.AST:
        assert isinstance(node, ast.BoolOp)
        node.values[place] = ast.Constant(value=isinstance(node.op, ast.And))
        return node

    return change


def shift(place: int, by: int) -> Change:
    """Move a bound: the outer side of a chain, so that only one of its comparisons changes."""

    def change(node: ast.AST) -> ast.AST:
        assert isinstance(node, ast.Compare)
        step = ast.Constant(value=by)
        if place == 0 and len(node.ops) > 1:
            node.left = ast.BinOp(left=node.left, op=ast.Add(), right=step)
        else:
            old = node.comparators[place]
            node.comparators[place] = ast.BinOp(left=old, op=ast.Add(), right=step)
        return node

    return change


class Replace(ast.NodeTransformer):
    """Puts something else in the place of one node."""

    def __init__(self, target: ast.AST, change: Change) -> None:
        """Change that one node."""
        self._target = target
        self._change = change

    def visit(self, node: ast.AST) -> ast.AST:
        """Return what stands in a node's place."""
        return self._change(node) if node is self._target else self.generic_visit(node)


def _code(path: Path, function: Function, position: int, change: Change) -> CodeType:
    """Return the code of a function whose node at ``position`` was changed."""
    copied = copy.deepcopy(function)
    changed = Replace(_walk(copied)[position], change).visit(copied)
    assert isinstance(changed, ast.stmt)
    whole = ast.fix_missing_locations(ast.Module(body=[changed], type_ignores=[]))
    inner = compile(whole, str(path), "exec").co_consts
    (code,) = (one for one in inner if isinstance(one, CodeType) and one.co_name == function.name)
    return code


def function_of(mutant: Mutant) -> FunctionType:
    """Return the function that a mutant replaces."""
    found: object = _module(mutant.module)
    for part in mutant.function.split("."):
        found = getattr(found, part)
    assert isinstance(found, FunctionType)
    return found


def _module(name: str) -> ModuleType:
    return importlib.import_module(f"ledger.rules.{name}")


@contextmanager
def in_place(mutant: Mutant) -> Iterator[None]:
    """Run with a mutant instead of the rule."""
    function = function_of(mutant)
    before = function.__code__
    function.__code__ = mutant.code
    try:
        yield
    finally:
        function.__code__ = before
