"""Universes and payloads for the tests of the exchange: built by hypothesis, or written down."""

from collections.abc import Mapping
from typing import Any

from django.core import serializers
from hypothesis import strategies as st

from bootstrap.document import ImportedSettings, judged
from bootstrap.entries import Document
from bootstrap.models import SettingsSnapshot
from projects.models import (
    AuditEvent,
    AuditHead,
    Character,
    Project,
    PromptTemplate,
    ProviderAccount,
    ReferenceItem,
    ReferenceSet,
    Secret,
    StyleGuide,
)

DUMPED = (
    Project,
    ProviderAccount,
    StyleGuide,
    Character,
    ReferenceSet,
    ReferenceItem,
    Secret,
    PromptTemplate,
    SettingsSnapshot,
    AuditEvent,
    AuditHead,
)

# As people write: any letters, several lines, the marks of JSON and of fences; no blanks at the ends.
letters = st.characters(exclude_categories=["Cs", "Cc"]) | st.sampled_from('\n\t"\\{}[]`“”’,:/')
texts = st.text(letters, max_size=60).map(str.strip) | st.just("x " * 2_000 + "end")
filled = st.text(letters, min_size=1, max_size=30).map(str.strip).filter(bool)
names = st.sampled_from(["Mira", "mira", "MIRA", "Ärger", "ärger", "名前"]) | filled
codes = st.sampled_from(["openai", "local", "photoroom", "comfy_ui", "x-1"])
plain = st.none() | st.booleans() | st.integers(-(2**40), 2**40) | st.text(letters, max_size=8)
values = st.recursive(
    plain, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abc", max_size=3), inner)
)
configs = st.dictionaries(st.sampled_from(["model", "size", "prices", "timeout"]), values, max_size=3)
limits = st.none() | st.integers(1, 9)
items = st.builds(
    lambda label, text, order, metadata, uri: {
        "label": label, "content_text": text, "content_uri": uri, "sort_order": order,
        "metadata_json": metadata,
    },
    filled, filled, st.integers(-3, 3), values, st.sampled_from(["", "references/a.png", "https://x.example/ä"]),
)  # fmt: skip


def _rows(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[list[dict[str, Any]]]:
    return st.lists(st.fixed_dictionaries(fields), max_size=4)


payloads: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {},
    optional={
        "project": st.fixed_dictionaries({}, optional={"name": filled, "description": texts}),
        "provider_accounts": _rows(
            provider_code=codes, display_name=texts.map(lambda text: text[:200].strip()), config_json=configs,
            enabled=st.booleans(), max_concurrency=limits, requests_per_minute=limits,
        ),
        "style_guides": _rows(name=names, instructions=filled, notes=texts),
        "characters": _rows(name=names, description=texts, prompt_text=texts),
        "reference_sets": _rows(name=names, description=texts, items=st.lists(items, max_size=4)),
        "secrets": _rows(provider_code=codes, secret_name=st.sampled_from(["api_key", "API_KEY", "token"])),
        "prompt_templates": _rows(name=names, template_text=filled),
    },
)  # fmt: skip
modes = st.sampled_from(["merge", "replace"])


def document(payload: Mapping[str, Any], mode: str = "merge") -> Document:
    """The document of a payload that says something."""
    return judged(ImportedSettings.model_validate(payload or {"project": {}}), mode)


def dump() -> str:
    """Every row that an exchange may touch, in order."""
    return "".join(serializers.serialize("json", model._default_manager.order_by("pk")) for model in DUMPED)
