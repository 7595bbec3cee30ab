"""Errors with a stable code, a sentence and typed values: what people are told, by name."""

from dataclasses import dataclass, fields
from typing import ClassVar, TypeVar, dataclass_transform

T = TypeVar("T", bound="Coded")


class Coded(Exception):
    """An error that clients know by its code; the sentence is made of the values."""

    code: ClassVar[str]
    sentence: ClassVar[str]

    @property
    def values(self) -> dict[str, int | str]:
        """Return the typed values by name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}  # type: ignore[arg-type]

    def __str__(self) -> str:
        return self.sentence.format(**self.values)


@dataclass_transform(kw_only_default=True, eq_default=False)
def coded(cls: type[T]) -> type[T]:
    """Make an error's annotations its keyword-only, typed values."""
    return dataclass(kw_only=True, eq=False)(cls)
