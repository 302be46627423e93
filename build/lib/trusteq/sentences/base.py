"""What sentences share: lists, and how parts are put together."""

from collections.abc import Iterable


def joined(parts: Iterable[str]) -> str:
    """Return parts as sentences."""
    return " ".join(f"{capital(part)}." for part in parts)


def capital(text: str) -> str:
    """Return text with its first letter as a capital, the rest as it is."""
    return text[:1].upper() + text[1:]


def listed(names: Iterable[str]) -> str:
    """Return names as a list in words: "a, b and c"."""
    names = list(names)
    return "".join(names) if len(names) < 2 else f"{', '.join(names[:-1])} and {names[-1]}"
