"""What counts as a credential in a JSON value."""

import pytest

from projects.redaction import credential_paths, redacted


@pytest.mark.parametrize(
    ("value", "paths"),
    [
        ({"api_key": "x", "timeout": 2}, ["api_key"]),
        ({"headers": {"X-Api-Key": "x"}}, ["headers.X-Api-Key"]),
        ({"keys": ["sk-abcdefgh1234"]}, ["keys[0]"]),
        ("Bearer abcdefgh1234", [""]),
        ({"clientSecret": "x", "accessToken": "y"}, ["clientSecret", "accessToken"]),
        ({"auth": {"token": {"value": "x"}}}, ["auth.token.value"]),
        ({"max_tokens": 5, "token": "", "tokenizer": "cl100k", "password": None}, []),
        ({"model": "sketch", "task": "sk-1"}, []),
    ],
)
def test_credentials_are_found_and_taken_out(value: object, paths: list[str]) -> None:
    assert credential_paths(value) == paths
    assert credential_paths(redacted(value, "")) == []
    if not paths:
        assert redacted(value, "[kept]") == value
