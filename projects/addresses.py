"""Addresses of services on the web, as people and operators write them."""

from urllib.parse import urlsplit


def is_web_address(text: str) -> bool:
    """Whether it is an http or https address of some host, without credentials, fragment or blanks."""
    if not text.isascii() or not text.isprintable() or " " in text:
        return False
    try:
        parts = urlsplit(text)
        has_port = parts.port != 0
    except ValueError:
        return False
    if parts.scheme not in {"http", "https"} or not parts.hostname or not has_port:
        return False
    return parts.username is None and parts.password is None and not parts.fragment
