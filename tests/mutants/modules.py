"""Mutants of whole modules, for what is more than functions that can be swapped one by one.

The rules' mutants replace the code of a function (``mutate``). Consensus and node have classes with
properties, coroutines, closures and bounds that are read at import, so a mutant is a whole module,
and whoever runs it imports that instead (``campaign``).

Each mutant lacks one check, one condition or one thing that is forgotten in time, or has one
comparison or one bound off.
"""

import ast
import copy
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import CodeType

from tests.mutants.mutate import Change, Replace, drop, never, shift, short

ROOT = Path(__file__).resolve().parents[2]
BOUND = re.compile(r"_?([A-Z0-9]+_)*(MAX|MIN|PERCENT|LAG)(_[A-Z]+)?")
"""What a constant is called that something is held against; times between two acts are none."""
META = {"ge", "gt", "le", "lt", "min_length", "max_length"}
"""Bounds of a field, where its type is declared."""
FORGETS = {"clear", "discard", "remove", "pop", "popleft", "popitem", "cancel", "unlink"}
CHECKS = re.compile(r"_?(require|check|prove|verify)(_\w+)?")
"""What functions are called that raise unless something holds."""
THREADS = "_thread.check"
"""It is an assertion: whose mistake it finds is ours."""
EMPTY = {"()", "{}", "[]", "b''", "''", "None", "False", "0", "set()"}

STRICTER: dict[type[ast.cmpop], ast.cmpop] = {
    ast.Lt: ast.LtE(),
    ast.LtE: ast.Lt(),
    ast.Gt: ast.GtE(),
    ast.GtE: ast.Gt(),
}
OPPOSITE: dict[type[ast.cmpop], ast.cmpop] = {
    ast.Lt: ast.GtE(),
    ast.LtE: ast.Gt(),
    ast.Gt: ast.LtE(),
    ast.GtE: ast.Lt(),
    ast.Eq: ast.NotEq(),
    ast.NotEq: ast.Eq(),
}


@dataclass(frozen=True, kw_only=True)
class Spot:
    """A node of a module's syntax tree, and what it lies in."""

    position: int
    """In ``_walk``'s order."""
    node: ast.AST
    scope: str
    """Qualified name of the function or class, empty in the module itself."""


@dataclass(frozen=True, kw_only=True)
class ModuleMutant:
    """A changed module."""

    module: str
    """As it is imported: ``consensus.rounds``."""
    scope: str
    line: int
    text: str
    """What was changed, and how."""
    position: int
    change: Change

    @property
    def name(self) -> str:
        """Return what it is, wherever it stands."""
        return f"{self.module}{'.' if self.scope else ''}{self.scope}: {self.text}"

    def tree(self) -> ast.Module:
        """Return the whole changed module."""
        tree = _parse(path_of(self.module))
        changed = Replace(_walk(tree)[self.position].node, self.change).visit(tree)
        assert isinstance(changed, ast.Module)
        return ast.fix_missing_locations(changed)

    def code(self) -> CodeType:
        """Return its code."""
        code = compile(self.tree(), str(path_of(self.module)), "exec")
        assert isinstance(code, CodeType)
        return code


def path_of(module: str) -> Path:
    """Return where the source of a module is."""
    return ROOT.joinpath(*module.split(".")).with_suffix(".py")


def modules_of(package: str) -> list[str]:
    """Return the modules of a package that have something to mutate, its folders' not."""
    found = sorted(path.stem for path in (ROOT / package.replace(".", "/")).glob("*.py"))
    return [f"{package}.{stem}" for stem in found if mutants_of(f"{package}.{stem}")]


def mutants_of(module: str) -> list[ModuleMutant]:
    """Return all mutants of a module, in the order of its source; no two have the same name."""
    found: list[ModuleMutant] = []
    times: Counter[str] = Counter()
    for spot in _walk(_parse(path_of(module))):
        for text, change in _changes(spot):
            named = f"{spot.scope}: {text}"
            times[named] += 1
            again = f", the {times[named]}." if times[named] > 1 else ""
            found.append(
                ModuleMutant(
                    module=module,
                    scope=spot.scope,
                    line=getattr(spot.node, "lineno", 0),
                    text=text + again,
                    position=spot.position,
                    change=change,
                )
            )
    return found


def _parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def _walk(tree: ast.Module) -> list[Spot]:
    """Return the nodes of a module, without its assertions: those are about our own mistakes."""
    spots: list[Spot] = []

    def visit(node: ast.AST, scope: str) -> None:
        if isinstance(node, ast.Assert):
            return
        spots.append(Spot(position=len(spots), node=node, scope=scope))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            scope = f"{scope}.{node.name}" if scope else node.name
        for child in ast.iter_child_nodes(node):
            visit(child, scope)

    visit(tree, "")
    return spots


def _changes(spot: Spot) -> Iterator[tuple[str, Change]]:
    """Yield how a node can be changed, in words and as a change."""
    match spot.node:
        case ast.Raise(exc=ast.Call(func=what)) if ast.unparse(what) != "AssertionError":
            yield f"without raise {ast.unparse(what)}", never
        case ast.Expr(value=ast.Call(func=what)) if _is_check(what):
            yield f"without `{short(spot.node)}`", never
        case ast.BoolOp(values=values):
            for place, operand in enumerate(values):
                yield f"without `{short(operand)}` in `{short(spot.node)}`", drop(place)
        case ast.Compare(ops=ops):
            for place, op in enumerate(ops):
                yield from _of_comparison(spot.node, place, op)
        case ast.Assign(targets=[ast.Name(id=name)], value=value) if _is_bound(spot, name, value):
            for by in (1, -1):
                yield f"{name} {by:+d}", _add(by)
        case ast.keyword(arg=str(name)) if name in META:
            for by in (1, -1):
                yield f"{short(spot.node)} {by:+d}", _add(by)
        case ast.Delete():
            yield f"without `{short(spot.node)}`", never
        case ast.Expr(value=ast.Call(func=ast.Attribute(attr=called))) if called in FORGETS:
            yield f"without `{short(spot.node)}`", never
        case ast.Assign(targets=[ast.Attribute()], value=value) if ast.unparse(
            value
        ) in EMPTY and not spot.scope.endswith("__init__"):
            yield f"without `{short(spot.node)}`", never


def _is_check(what: ast.expr) -> bool:
    called = ast.unparse(what)
    return bool(CHECKS.fullmatch(called.rpartition(".")[2])) and not called.endswith(THREADS)


def _is_bound(spot: Spot, name: str, value: ast.expr) -> bool:
    if spot.scope or not BOUND.fullmatch(name):
        return False
    return all(
        isinstance(node, ast.BinOp | ast.operator | ast.Constant | ast.Name | ast.expr_context)
        for node in ast.walk(value)
    )


def _of_comparison(node: ast.Compare, place: int, op: ast.cmpop) -> Iterator[tuple[str, Change]]:
    where = f" at {place}" if len(node.ops) > 1 else ""
    if type(op) in STRICTER:
        yield f"`{short(node)}` takes in or leaves out its end{where}", _put(place, STRICTER)
        if _may_be_number(node.comparators[place]):
            by = 1 if isinstance(op, ast.LtE | ast.Gt) else -1
            by = -by if where and place == 0 else by  # `shift` moves the other side there
            yield f"`{short(node)}` off by {by:+d}{where}", shift(place, by)
    if type(op) in OPPOSITE:
        yield f"`{short(node)}` the other way round{where}", _put(place, OPPOSITE)


def _may_be_number(node: ast.expr) -> bool:
    """Return whether one can be added to it without its being noticed by that alone."""
    return not isinstance(node, ast.Tuple | ast.List)


def _put(place: int, table: dict[type[ast.cmpop], ast.cmpop]) -> Change:
    """Put another comparison in the place of one."""

    def change(node: ast.AST) -> ast.AST:
        assert isinstance(node, ast.Compare)
        node.ops[place] = copy.copy(table[type(node.ops[place])])
        return node

    return change


def _add(by: int) -> Change:
    """Add to what is assigned or passed."""

    def change(node: ast.AST) -> ast.AST:
        assert isinstance(node, ast.Assign | ast.keyword)
        node.value = ast.BinOp(left=node.value, op=ast.Add(), right=ast.Constant(value=by))
        return node

    return change
