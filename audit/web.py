"""Asks servers from ordinary code; no server can make an answer longer or later than its limit."""

import asyncio
from collections.abc import Awaitable, Sequence
from typing import Any, TypeVar

import httpx2
import msgspec

from tally.exits import Unreachable

ANSWER_S = 10
"""Seconds for a whole answer, however it comes in: a limit for each read would be none."""
JSON_BYTES_MAX = 4 * 1024 * 1024
"""Longest answer in JSON: a proof of the record of all validators is below."""
AT_ONCE_MAX = 16
"""How many servers are asked at the same time."""

T = TypeVar("T")


class NoAnswer(Exception):
    """What a server said, if anything, is not an answer; the sentence goes on after its name."""


class Web:
    """One loop and one set of connections, used from one thread."""

    def __init__(self) -> None:
        self._runner = asyncio.Runner()
        # Nothing is unpacked: a small answer must not become a large one.
        headers = {"User-Agent": "tally", "Accept-Encoding": "identity"}
        self._client = httpx2.AsyncClient(
            timeout=ANSWER_S, trust_env=False, follow_redirects=False, headers=headers
        )

    def close(self) -> None:
        """Close every connection."""
        self._runner.run(self._client.aclose())
        self._runner.close()

    def get(self, url: str, bytes_max: int) -> bytes:
        """Return an answer; raise NoAnswer."""
        return self._runner.run(self._get(url, bytes_max))

    def get_each(self, urls: Sequence[str], bytes_max: int) -> list[bytes | NoAnswer]:
        """Return the answers in the order of the addresses; a slow server delays no other."""
        return self._runner.run(self._get_each(urls, bytes_max))

    def post(self, url: str, body: bytes) -> None:
        """Send JSON; raise NoAnswer unless it was taken. What is answered is not read."""
        self._runner.run(self._post(url, body))

    async def _get_each(self, urls: Sequence[str], bytes_max: int) -> list[bytes | NoAnswer]:
        room = asyncio.Semaphore(AT_ONCE_MAX)

        async def fetched(url: str) -> bytes | NoAnswer:
            async with room:
                try:
                    return await self._get(url, bytes_max)
                except NoAnswer as error:
                    return error

        return list(await asyncio.gather(*map(fetched, urls)))

    async def _get(self, url: str, bytes_max: int) -> bytes:
        return await _limited(self._read(url, bytes_max))

    async def _read(self, url: str, bytes_max: int) -> bytes:
        async with self._client.stream("GET", url) as answer:
            if answer.status_code != 200:
                raise NoAnswer(f"answers {answer.status_code}")
            if answer.headers.get("content-encoding", "identity") != "identity":
                raise NoAnswer("answers in an encoding that nobody asked for")
            data = bytearray()
            async for piece in answer.aiter_raw():
                data += piece
                if len(data) > bytes_max:
                    raise NoAnswer(f"answers with more than {bytes_max} bytes")
            return bytes(data)

    async def _post(self, url: str, body: bytes) -> None:
        await _limited(self._send(url, body))

    async def _send(self, url: str, body: bytes) -> None:
        headers = {"Content-Type": "application/json"}
        async with self._client.stream("POST", url, content=body, headers=headers) as answer:
            if not 200 <= answer.status_code < 300:
                raise NoAnswer(f"answers {answer.status_code}")


class Published:
    """One node's answers, as ``wallet.verified`` asks for them."""

    def __init__(self, web: Web, url: str) -> None:
        self._web = web
        self.url = url

    def get_bytes(self, path: str) -> bytes:
        """Return an answer as it comes; raise Unreachable."""
        try:
            return self._web.get(self.url + path, JSON_BYTES_MAX)
        except NoAnswer as error:
            raise Unreachable(f"{self.url} {error}") from None

    def get_json(self, path: str) -> dict[str, Any]:
        """Return a JSON object; raise Unreachable."""
        try:
            return msgspec.json.decode(self.get_bytes(path), type=dict[str, Any])
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise Unreachable(f"{self.url} answers with no JSON object") from None

    def genesis(self) -> bytes:
        """Return the genesis bytes; raise Unreachable."""
        return self.get_bytes("/v1/genesis")


async def _limited(asked: Awaitable[T]) -> T:
    """Return what is awaited; raise NoAnswer, which repeats no address: one may hold a secret."""
    try:
        async with asyncio.timeout(ANSWER_S):
            return await asked
    except TimeoutError:
        raise NoAnswer(f"does not answer within {ANSWER_S} s") from None
    except (httpx2.HTTPError, httpx2.InvalidURL) as error:
        raise NoAnswer(f"cannot be reached ({type(error).__name__})") from None
