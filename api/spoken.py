"""In which language a request is answered: sentences vary, codes and values never do."""

from starlette.requests import HTTPConnection

from words.languages import Language, chosen, load

HEADERS = {"Vary": "Accept-Language"}


def language_of(connection: HTTPConnection, asked: str | None = None) -> Language:
    """Return the language that a request asks for, else the one that its client prefers."""
    return load(chosen(asked, connection.headers.get("accept-language", "")))


def headers_of(spoken: Language) -> dict[str, str]:
    """Return the headers of an answer that holds sentences."""
    return {**HEADERS, "Content-Language": spoken.code}
