"""One server over a funded chain for each test."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.api.world import World, world_at


@pytest.fixture
def anyio_backend() -> str:
    """The server runs on asyncio."""
    return "asyncio"


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """Serve a funded chain."""
    async with world_at(tmp_path) as made:
        yield made
