"""What a request may ask for by name: a parameter that its address lacks is refused (H1.7)."""

from collections.abc import Iterator

from fastapi import Request
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute

from api.problems import Problem, excerpt

TOLD_MAX = 8
"""How many wrong parameters an answer names."""


async def known_parameters(request: Request) -> None:
    """Raise Problem for each query parameter that the address lacks, or that stands twice.

    One that is ignored would change what the answer means, and nobody would notice.
    """
    asked = [name for name, _ in request.query_params.multi_items()]
    if not asked:
        return
    route = request.scope["route"]
    assert isinstance(route, APIRoute)
    known = tuple(_names_in(route.dependant))
    values = {}
    for name in dict.fromkeys(asked):
        if name not in known:
            expected = f"one of {', '.join(known)}" if known else "no parameter"
            values[f"query.{excerpt(name)}"] = f"unknown: expected {expected}"
        elif asked.count(name) > 1:
            values[f"query.{name}"] = "expected once"
    if values:
        raise Problem.invalid(**dict(list(values.items())[:TOLD_MAX]))


def _names_in(asking: Dependant) -> Iterator[str]:
    """Yield the parameters of a function, then those of what it depends on."""
    yield from (field.alias for field in asking.query_params)
    for other in asking.dependencies:
        yield from _names_in(other)
