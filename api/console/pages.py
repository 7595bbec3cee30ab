"""The console: one page, drawn on the server, and its fragments, which the page fetches anew."""

import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path as FilePath
from time import monotonic
from typing import Annotated

import jinja2
from fastapi import APIRouter, FastAPI, Path, Query, Request
from fastapi.responses import HTMLResponse, Response
from markupsafe import Markup, escape

from api.console import cases, governance, settlement, views
from api.console.voucher import voucher_page
from api.problems import Problem
from api.reads import head_of
from api.schemas import SerialPath
from api.services import Services, services_of
from api.spoken import headers_of, language_of
from ledger.store.lmdb_store import Snapshot
from node.port import NodeStatus
from words import acts, dates, units
from words.languages import CODES, Language, load, read

FOLDER = FilePath(__file__).parent
REDRAW_S = 0.2
"""How soon a fragment may be drawn again; the page asks again if it got an older one."""
REDRAW_TIMES = 10
"""A fragment that takes long is drawn again only after so many times as long."""
ITEMS_MAX = 2
"""How many items of a list a row of the page reads out."""
MEDIA_TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
STATIC_CACHE = "public, max-age=31536000, immutable"
"""A static file's address names its content, so it never changes."""

FRAGMENTS: dict[str, Callable[[Snapshot, NodeStatus | None], object]] = {
    "summary": views.summary,
    "programmes": lambda snapshot, _: views.programmes(snapshot),
    "claims": lambda snapshot, _: cases.claims(snapshot),
    "transactions": lambda snapshot, _: views.transactions(snapshot),
    "payables": lambda snapshot, _: settlement.payables(snapshot),
    "settlement": lambda snapshot, _: settlement.settlement(snapshot),
    "exceptions": lambda snapshot, _: cases.exceptions(snapshot),
    "governance": lambda snapshot, _: governance.governance(snapshot),
    "validators": views.validators,
    "finality": lambda _, status: views.finality(status),
}
"""What each part of the page shows, in the order of the page."""

LangQuery = Annotated[str | None, Query(max_length=16)]
NamePath = Annotated[str, Path(max_length=32)]

router = APIRouter(include_in_schema=False)


@dataclass(frozen=True, slots=True)
class Drawn:
    """A fragment as last drawn."""

    html: str
    height: int
    good_until: float
    """When it may be drawn again, by the monotonic clock."""


@dataclass(frozen=True, slots=True)
class StaticFile:
    """A file of the page, by an address that names its content."""

    content: bytes
    media_type: str
    address: str


class Console:
    """Languages, templates and static files, read once."""

    def __init__(self) -> None:
        self.languages = {code: furnished(code) for code in CODES}
        self.files = dict(self._static_files())
        self._templates = jinja2.Environment(
            loader=jinja2.FileSystemLoader(FOLDER / "templates"),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.filters.update(
            yuan=units.yuan,
            count=units.count,
            clock=dates.clock,
            day=dates.last_day,
            milliseconds=units.milliseconds,
            heading=_heading,
        )
        self._drawn: dict[tuple[str, str], Drawn] = {}

    @staticmethod
    def _static_files() -> list[tuple[str, StaticFile]]:
        files = []
        for path in sorted((FOLDER / "static").iterdir()):
            content = path.read_bytes()
            digest = hashlib.sha256(content).hexdigest()[:16]
            address = f"/console/static/{digest}/{path.name}"
            files.append((path.name, StaticFile(content, MEDIA_TYPES[path.suffix], address)))
        return files

    def render(self, template: str, spoken: Language, **values: object) -> str:
        """Return a template's text in a language."""
        return self._templates.get_template(template).render(
            t=spoken.text,
            lang=spoken.code,
            title=spoken.title,
            word=spoken.word,
            status=spoken.status,
            kind=spoken.kind,
            act=spoken.act,
            said=lambda operation: acts.said(operation, spoken, items_max=ITEMS_MAX),
            linked=lambda sentence, vouchers: _linked(sentence, vouchers, spoken.code),
            **values,
        )

    def fragment(
        self, services: Services, status: NodeStatus | None, name: str, spoken: Language
    ) -> Drawn:
        """Return a fragment of the page, drawn at most every REDRAW_S for all readers together."""
        drawn = self._drawn.get((name, spoken.code))
        if drawn is not None and monotonic() < drawn.good_until:
            return drawn
        drawn = self.draw(
            services, name, spoken, lambda snapshot: FRAGMENTS[name](snapshot, status)
        )
        self._drawn[name, spoken.code] = drawn
        return drawn

    def draw(
        self, services: Services, name: str, spoken: Language, read: Callable[[Snapshot], object]
    ) -> Drawn:
        """Return what a read of the store shows, drawn with the template of that name."""
        began = monotonic()
        with services.reader.begin() as snapshot:
            head = head_of(snapshot)
            shown = read(snapshot)
        html = self.render(
            f"{name}.html", spoken, shown=shown, height=head.height, network=services.network
        )
        ended = monotonic()
        return Drawn(html, head.height, ended + max(REDRAW_S, REDRAW_TIMES * (ended - began)))

    def voucher(self, services: Services, voucher: str, spoken: Language) -> Drawn:
        """Return a voucher's page, drawn anew; raise Problem not_found."""
        return self.draw(
            services, "voucher", spoken, lambda snapshot: voucher_page(snapshot, voucher)
        )


def furnished(code: str) -> Language:
    """Return a language with the texts of the page beside those that all share."""
    return load(code).extended(read(FOLDER / "locales" / f"{code}.json"))


def _heading(title: str) -> str:
    return title[:1].upper() + title[1:]


def _linked(sentence: str, vouchers: Sequence[str], code: str) -> Markup:
    """Return a sentence in which the vouchers lead to their pages."""
    if not vouchers:
        return escape(sentence)
    ids = "|".join(re.escape(voucher) for voucher in vouchers)
    parts = re.split(rf"(?<![a-z0-9.-])({ids})(?![0-9])", sentence)
    link = Markup('<a href="/console/vouchers/{id}?lang={code}"><code>{id}</code></a>')
    return Markup("").join(
        link.format(id=part, code=code) if part in vouchers else escape(part) for part in parts
    )


def install(app: FastAPI) -> None:
    """Give a server its console, read at the first request: starting does not wait for it."""
    app.state.console = cache(Console)
    app.include_router(router)


def console_of(request: Request) -> Console:
    """Return the server's console."""
    console = request.app.state.console()
    assert isinstance(console, Console)
    return console


def _spoken(request: Request, asked: str | None) -> Language:
    return console_of(request).languages[language_of(request, asked).code]


@router.get("/")
async def page(request: Request, lang: LangQuery = None) -> Response:
    """Return the whole page."""
    services = services_of(request)
    spoken = _spoken(request, lang)
    status = await services.node.status()
    after = _last_sequence(services)
    console = console_of(request)
    fragments = {name: console.fragment(services, status, name, spoken).html for name in FRAGMENTS}
    return _page(request, spoken, fragments, after)


@router.get("/console/vouchers/{voucher}")
async def voucher(request: Request, voucher: SerialPath, lang: LangQuery = None) -> Response:
    """Return the page of one voucher."""
    services = services_of(request)
    spoken = _spoken(request, lang)
    after = _last_sequence(services)
    drawn = console_of(request).voucher(services, voucher, spoken)
    return _page(request, spoken, {f"voucher/{voucher}": drawn.html}, after)


def _last_sequence(services: Services) -> int:
    """Return the place to follow events from; taken before drawing, so that none is missed."""
    with services.reader.begin() as snapshot:
        return head_of(snapshot).log_size - 1


def _page(request: Request, spoken: Language, fragments: dict[str, str], after: int) -> Response:
    console = console_of(request)
    html = console.render(
        "page.html",
        spoken,
        fragments=fragments,
        after=after,
        network=services_of(request).network,
        path=request.url.path,
        files=console.files,
    )
    return HTMLResponse(html, headers=headers_of(spoken))


@router.get("/console/fragment/voucher/{voucher}")
async def voucher_fragment(
    request: Request, voucher: SerialPath, lang: LangQuery = None
) -> Response:
    """Return the one part of a voucher's page."""
    spoken = _spoken(request, lang)
    drawn = console_of(request).voucher(services_of(request), voucher, spoken)
    return HTMLResponse(drawn.html, headers=headers_of(spoken))


@router.get("/console/fragment/{name}")
async def fragment(request: Request, name: NamePath, lang: LangQuery = None) -> Response:
    """Return one part of the page."""
    if name not in FRAGMENTS:
        raise Problem("not_found", f"expected one of {', '.join(FRAGMENTS)}")
    services = services_of(request)
    status = await services.node.status()
    spoken = _spoken(request, lang)
    drawn = console_of(request).fragment(services, status, name, spoken)
    return HTMLResponse(drawn.html, headers=headers_of(spoken))


@router.get("/console/static/{digest}/{name}")
async def static(request: Request, digest: NamePath, name: NamePath) -> Response:
    """Return a file of the page."""
    file = console_of(request).files.get(name)
    if file is None or digest not in file.address:
        raise Problem("not_found", "no such file")
    return Response(
        file.content, media_type=file.media_type, headers={"Cache-Control": STATIC_CACHE}
    )
