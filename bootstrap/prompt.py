"""The text that a person hands to a language model, and the form of the answer that it asks for."""

import json
from collections.abc import Mapping
from typing import Any

from bootstrap.document import LONGEST_ADDRESS, LONGEST_CODE, LONGEST_LABEL, LONGEST_URI, MOST_ENTRIES
from bootstrap.entries import KEPT
from projects.errors import Invalid
from projects.texts import LONGEST_NAME, LONGEST_TEXT, optional_text

LONGEST_BRIEF = 20_000  # characters

# The same for every project: a stranger's answer must not depend on whose state was shown.
EXPECTED_RESPONSE: dict[str, Any] = {
    "mode": "merge",
    "settings": {
        "project": {"name": "Project name", "description": "[optional] what the series is about"},
        "provider_accounts": [
            {
                "provider_code": "openai",
                "display_name": "[optional] name of the account",
                "account_ref": "[optional] reference of the account",
                "base_url": "[optional] address of the API",
                "enabled": True,
                "config_json": {},
            }
        ],
        "style_guides": [
            {
                "name": "Style guide name",
                "instructions": "How pictures are to look",
                "notes": "[optional] notes for the team",
            }
        ],
        "characters": [
            {
                "name": "Character name",
                "description": "[optional] who this is",
                "prompt_text": "[optional] how this character is described in prompts",
            }
        ],
        "reference_sets": [
            {
                "name": "Reference set name",
                "description": "[optional] what the set is for",
                "items": [
                    {
                        "label": "Item label",
                        "content_uri": "[optional] path or address of the picture",
                        "content_text": "[optional] text, needed where there is no content_uri",
                        "sort_order": 0,
                        "metadata_json": {},
                    }
                ],
            }
        ],
        "secrets": [{"provider_code": "openai", "secret_name": "api_key"}],
        "prompt_templates": [{"name": "Template name", "template_text": "The text of the prompt"}],
    },
}


def _rows(needed: list[str], **properties: Any) -> dict[str, Any]:
    return {
        "type": "array",
        "items": {"type": "object", "required": needed, "properties": properties},
    }


def _text(longest: int = LONGEST_TEXT, *, needed: bool = False) -> dict[str, Any]:
    return {"type": "string", "maxLength": longest, **({"minLength": 1} if needed else {})}


_NAME = _text(LONGEST_NAME, needed=True)
_CODE = {"type": "string", "pattern": "^[a-z0-9_-]+$", "maxLength": LONGEST_CODE}
_ITEMS = _rows(
    ["label"],
    label=_text(LONGEST_LABEL, needed=True),
    content_uri=_text(LONGEST_URI),
    content_text=_text(),
    sort_order={"type": "integer"},
    metadata_json={},
)
_ITEMS["items"]["anyOf"] = [{"required": ["content_uri"]}, {"required": ["content_text"]}]

RESPONSE_SCHEMA: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "required": ["settings"],
    "properties": {
        "mode": {"enum": ["merge", "replace"]},
        "settings": {
            "type": "object",
            "minProperties": 1,
            "properties": {
                "project": {"type": "object", "properties": {"name": _NAME, "description": _text()}},
                "provider_accounts": _rows(
                    ["provider_code"],
                    provider_code=_CODE,
                    display_name=_text(LONGEST_NAME),
                    account_ref=_text(LONGEST_NAME),
                    base_url=_text(LONGEST_ADDRESS),
                    enabled={"type": "boolean"},
                    config_json={},
                ),
                "style_guides": _rows(
                    ["name", "instructions"], name=_NAME, instructions=_text(needed=True), notes=_text()
                ),
                "characters": _rows(["name"], name=_NAME, description=_text(), prompt_text=_text()),
                "reference_sets": _rows(["name", "items"], name=_NAME, description=_text(), items=_ITEMS),
                "secrets": _rows(["provider_code", "secret_name"], provider_code=_CODE, secret_name=_NAME),
                "prompt_templates": _rows(
                    ["name", "template_text"], name=_NAME, template_text=_text(needed=True)
                ),
            },
        },
    },
}

INTRODUCTION = """\
You are helping to write a Kroma project bootstrap profile. Kroma is a workspace in which a comics team makes
long series of images that stay in one hand: style guides, characters, reference sets and prompt templates.

Return ONLY valid JSON: one object, no markdown, no comments, no prose before or after it.
It must have exactly this shape:
"""

RULES = f"""
Rules:
- A provider code is lower-case and made of letters, digits, "-" and "_".
- Leave out every section that should not change. An entry that is given is written whole: a field that is
  left out is cleared.
- Keep lists short and ready for production.
- Never include secret values or API keys, nowhere. The text {KEPT} in a config_json stands for a value
  that is stored: keep it where it is.
- The section "secrets" is metadata only: which names are needed, never their values.
- Secrets are only ever merged: those that are left out are not deleted.
- Every reference set needs an explicit "items" array, [] for an empty one.
- That array is authoritative for its set: items that are not in it are removed. Each item needs "content_uri"
  or "content_text".
- Limits: names {LONGEST_NAME} characters, labels {LONGEST_LABEL}, texts {LONGEST_TEXT};
  {MOST_ENTRIES} entries in all.
"""


def brief_of(text: str) -> str:
    """The person's story or wish, trimmed. Raises `Invalid` if it is too long or can't be used."""
    if "\x00" in text:
        raise Invalid("Field 'brief' holds a character that can't be used")
    return optional_text("brief", text, longest=LONGEST_BRIEF)


def prompt_text(project: Mapping[str, object], settings: Mapping[str, object], brief: str) -> str:
    """The whole prompt; `brief` is the person's own story or wish, '' for none."""
    parts = [INTRODUCTION, _pretty(EXPECTED_RESPONSE), "\n", RULES]
    if brief:
        parts.append(
            f"\nWhat the person wants (a story or a wish, not a rule):\n<brief>\n{brief}\n</brief>\n"
        )
    parts += ["\nThe current state of the project:\n", _pretty({"project": project, **settings}), "\n"]
    return "".join(parts)


def _pretty(value: object) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)
