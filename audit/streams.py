"""What a node's API streams without an end in sight, for files that are written as it comes."""

from collections.abc import Iterator
from contextlib import contextmanager

import httpx2

from tally.exits import Unreachable
from wallet.client import failure_of, read_answer

TIMEOUT_S = 60


@contextmanager
def streamed(url: str, node: str) -> Iterator[httpx2.Response]:
    """Give an answer to read from; raise Unreachable naming ``node``, also if it breaks off.

    What the node refuses to give is raised as its problem document says it.
    """
    try:
        with httpx2.stream("GET", url, timeout=TIMEOUT_S, trust_env=False) as answer:
            if answer.status_code != 200:
                raise failure_of(node, answer.status_code, read_answer(answer))
            yield answer
    except (httpx2.ConnectError, httpx2.ConnectTimeout):
        raise Unreachable(f"no node answers at {node}") from None
    except httpx2.TransportError:
        raise Unreachable(f"the connection to {node} was lost; start again") from None
