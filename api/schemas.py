"""What requests may carry and how OpenAPI describes the answers (docs/spec/http.md)."""

from typing import Annotated, Any, Literal

from fastapi import Path, Query
from pydantic import BaseModel

from ledger.encoding import complaint
from ledger.encoding.codec import FEN_MAX

_SLUG = "[a-z0-9][a-z0-9-]{0,31}"

HASH_PATTERN = "^[0-9a-f]{64}$"
SLUG_PATTERN = f"^{_SLUG}$"
PROGRAMME_PATTERN = rf"^{_SLUG}\.{_SLUG}$"
SERIAL_PATTERN = rf"^{_SLUG}(\.{_SLUG})?\.[0-9]{{9}}$"
PAYABLE_PATTERN = rf"^{_SLUG}\.[0-9]{{9}}-[0-9]{{3}}$"
END_TO_END_PATTERN = "^[A-Za-z0-9][A-Za-z0-9.-]{0,34}$"
THING_PATTERN = "^[a-z0-9][a-z0-9.-]{0,95}$"
ROW_PATTERN = "^([0-9a-f]{2})+$"
EXPECTED = {
    HASH_PATTERN: "64 lower-case hex digits",
    SLUG_PATTERN: "an id such as shanghai",
    PROGRAMME_PATTERN: "an id such as shanghai.compute",
    SERIAL_PATTERN: "an id such as shanghai.compute.000000042 or guian-hub.000000042",
    PAYABLE_PATTERN: "an id such as guian-hub.000000042-000",
    END_TO_END_PATTERN: complaint.EXPECTED[complaint.END_TO_END_ID],
    THING_PATTERN: complaint.EXPECTED[complaint.THING_ID],
    ROW_PATTERN: "lower-case hex digits, two for each byte",
}
"""What is told of each pattern: one is no sentence."""
PAGE_MAX = 500
PAGE_DEFAULT = 100
CURSOR_LENGTH_MAX = 300
WAIT_MS_MAX = 30_000
WAIT_MS_DEFAULT = 20_000

HashPath = Annotated[str, Path(pattern=HASH_PATTERN)]
SlugPath = Annotated[str, Path(pattern=SLUG_PATTERN)]
SerialPath = Annotated[str, Path(pattern=SERIAL_PATTERN)]
PayablePath = Annotated[str, Path(pattern=PAYABLE_PATTERN)]
EndToEndPath = Annotated[str, Path(pattern=END_TO_END_PATTERN)]
HeightPath = Annotated[int, Path(ge=0, le=FEN_MAX)]
NumberPath = Annotated[int, Path(ge=1, le=FEN_MAX)]

SlugQuery = Annotated[str | None, Query(pattern=SLUG_PATTERN)]
ProgrammeQuery = Annotated[str | None, Query(pattern=PROGRAMME_PATTERN)]
SerialQuery = Annotated[str | None, Query(pattern=SERIAL_PATTERN)]
OpenQuery = Annotated[bool | None, Query(description="only what is open, or only what is not")]
NaturalQuery = Annotated[int | None, Query(ge=0, le=FEN_MAX)]
FromQuery = Annotated[int, Query(alias="from", ge=0, le=FEN_MAX)]
FormQuery = Annotated[Literal["ndjson", "csv"], Query(alias="format")]
CursorQuery = Annotated[
    str | None, Query(max_length=CURSOR_LENGTH_MAX, description="`next` of the page before")
]
LimitQuery = Annotated[int, Query(ge=1, le=PAGE_MAX, description=f"default {PAGE_DEFAULT}")]
PendingQuery = Annotated[
    Literal["pending"] | None, Query(description="what waits on this node, not what is logged")
]
WaitQuery = Annotated[Literal["final"] | None, Query()]
WaitMsQuery = Annotated[int, Query(ge=0, le=WAIT_MS_MAX)]


class NodeBrief(BaseModel):
    """The node behind the server, and the place in the ledger that the answer is true at."""

    name: str
    height: int
    time_ms: int
    record_hash: str
    quorum_age_ms: int


class Posting(BaseModel):
    """One movement of value."""

    kind: str
    programme: str
    serial: int
    count: int
    amount: int
    source: str
    target: str


class TransactionDocument(BaseModel):
    """What is known of a transaction."""

    id: str
    status: Literal["pending", "refused", "final", "expired"]
    code: str
    number: int
    message: str
    values: dict[str, int | str]
    kind: str | None
    expires_at: int
    sequence: int | None
    height: int | None
    postings: list[Posting]
    node: NodeBrief


class EffectDocument(BaseModel):
    """What a transaction would do now."""

    height: int
    code: str
    number: int
    message: str
    values: dict[str, int | str]
    postings: list[Posting]


class ItemList(BaseModel):
    """A page of a list."""

    items: list[dict[str, Any]]
    next: str | None
    height: int
    record_hash: str


class SingleItem(BaseModel):
    """One record and the sequence number of its last change."""

    item: dict[str, Any]
    sequence: int
    height: int
    record_hash: str


class ProofLeaf(BaseModel):
    """What stands where a key's path ends."""

    key: str
    value_hash: str


class ProofDocument(BaseModel):
    """What a record was when the state last had a root, and why that must be believed."""

    key: str
    value: str | None
    siblings: list[str]
    leaf: ProofLeaf | None
    state_root: str
    state_height: int
    receipt: str


class ProblemDocument(BaseModel):
    """Why a request was not served."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    values: dict[str, int | str]
    retryable: bool


Answers = dict[int | str, dict[str, Any]]
"""What a route answers, by status."""


def answers_in(*media_types: str) -> Answers:
    """Return the description of answers that are no JSON."""
    return {200: {"content": {media_type: {} for media_type in media_types}}}


PROBLEM_MEDIA_TYPE = "application/problem+json"
PROBLEM: Answers = {"default": {"model": ProblemDocument, "description": "told apart by `code`"}}
OCTETS = answers_in("application/octet-stream")
TEXT = answers_in("text/plain")
LISTED: Answers = {200: {"model": ItemList}}
SINGLE: Answers = {200: {"model": SingleItem}}
PROOF: Answers = {200: {"model": ProofDocument}}
DOCUMENT: Answers = {
    200: {"model": TransactionDocument},
    202: {"model": TransactionDocument, "description": "Not in the log yet"},
}
ROWS: Answers = {
    200: {
        "description": "One line a record, in the order of the list, without a cap",
        "content": {"application/x-ndjson": {}, "text/csv": {}},
    }
}
EFFECT: Answers = {200: {"model": EffectDocument}}


def takes(media_type: str) -> dict[str, Any]:
    """Return the description of a body, which FastAPI cannot see: routes read it themselves."""
    return {"requestBody": {"required": True, "content": {media_type: {}}}}


def with_problems(described: dict[str, Any]) -> dict[str, Any]:
    """Give the problems in a description their media type; FastAPI takes the route's own."""
    for methods in described["paths"].values():
        for operation in methods.values():
            problem = operation["responses"]["default"]
            (content,) = problem["content"].values()
            problem["content"] = {PROBLEM_MEDIA_TYPE: content}
    return described
