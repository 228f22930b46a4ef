"""The entries of an exchange, judged: what a section holds, and how it is written and read back."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from projects.redaction import redacted

KEPT = "[kept]"  # stands for a credential that stays where it is
# In the order in which they are judged.
SECTIONS = (
    "provider_accounts",
    "style_guides",
    "characters",
    "reference_sets",
    "secrets",
    "prompt_templates",
)
LIMITS = ("max_concurrency", "requests_per_minute")  # of an account, in the order of `Account.limits`


@dataclass(frozen=True)
class Entry:
    """One entry of a section, judged. `key` tells which entry it is, `content` whether two are equal."""

    @property
    def key(self) -> tuple[str, ...]:
        raise NotImplementedError

    @property
    def content(self) -> object:
        return self

    @property
    def key_text(self) -> str:
        """The key as one text, as people and programs name the entry within its section."""
        return "/".join(self.key)


@dataclass(frozen=True)
class Account(Entry):
    """A provider account. `limits`: calls at once and a minute (None: no limit); () if nothing says them."""

    provider_code: str
    display_name: str = ""
    account_ref: str = ""
    base_url: str = ""
    enabled: bool = True
    config: Any = field(default_factory=dict)
    limits: tuple[int | None, ...] = ()

    @property
    def key(self) -> tuple[str, ...]:
        return (self.provider_code,)

    @property
    def content(self) -> object:
        texts = (self.display_name, self.account_ref, self.base_url, self.enabled)
        return (self.provider_code, *texts, exact(self.config), self.limits)


@dataclass(frozen=True)
class Named(Entry):
    name: str

    @property
    def key(self) -> tuple[str, ...]:
        return (ascii_lower(self.name),)


@dataclass(frozen=True)
class Guide(Named):
    instructions: str = ""
    notes: str = ""


@dataclass(frozen=True)
class Figure(Named):
    """A character."""

    description: str = ""
    prompt_text: str = ""


@dataclass(frozen=True)
class Template(Named):
    template_text: str = ""


@dataclass(frozen=True)
class Item:
    label: str
    content_uri: str = ""
    content_text: str = ""
    sort_order: int = 0
    metadata: Any = field(default_factory=dict)

    @property
    def content(self) -> object:
        return (self.label, self.content_uri, self.content_text, self.sort_order, exact(self.metadata))


@dataclass(frozen=True)
class RefSet(Named):
    """A reference set; its items in the order in which lists show them."""

    description: str = ""
    items: tuple[Item, ...] = ()

    @property
    def content(self) -> object:
        return (self.name, self.description, [item.content for item in self.items])


@dataclass(frozen=True)
class SecretName(Entry):
    provider_code: str
    secret_name: str
    has_value: bool = False

    @property
    def key(self) -> tuple[str, ...]:
        return (self.provider_code, self.secret_name)


@dataclass(frozen=True)
class ProjectPatch:
    """None stays as it is."""

    name: str | None = None
    description: str | None = None


@dataclass(frozen=True)
class Document:
    """What is wanted: the mode, and the sections that were given, each key once.

    `left_out` names entries that stay as they are whatever the sections say, as (section, key text), and with
    ("project", "name") or ("project", "description") a field of the project.
    """

    mode: str
    project: ProjectPatch | None
    sections: Mapping[str, tuple[Entry, ...]]
    repairs: tuple[str, ...] = ()
    left_out: frozenset[tuple[str, str]] = frozenset()


def ascii_lower(text: str) -> str:
    """The text with A-Z as a-z, and nothing else changed."""
    return "".join(one.lower() if one.isascii() else one for one in text)


def exact(value: object) -> str:
    """A JSON value as a text that is the same for the same value: 1 is 1.0, but not true."""
    return json.dumps(_plain(value), sort_keys=True)


def _plain(value: object) -> object:
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_plain(inner) for inner in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def without_markers(config: Any) -> Any:
    """The config with nothing where a marker stands."""
    if isinstance(config, dict):
        return {key: without_markers(value) for key, value in config.items()}
    if isinstance(config, list):
        return [without_markers(value) for value in config]
    return None if config == KEPT else config


def shown_config(config: Any) -> Any:
    """The config as it may be seen: a marker in place of each credential."""
    return redacted(config, KEPT)


def sent(entry: Entry) -> dict[str, Any]:
    """An entry as the exchange writes it, with a marker in place of each credential."""
    match entry:
        case Account():
            fields = {key: value for key, value in vars(entry).items() if key not in ("config", "limits")}
            limits = dict(zip(LIMITS, entry.limits, strict=False))
            return {**fields, "config_json": shown_config(entry.config), **limits}
        case RefSet():
            items = [_item_sent(item) for item in entry.items]
            return {"name": entry.name, "description": entry.description, "items": items}
    return dict(vars(entry))


def _item_sent(item: Item) -> dict[str, Any]:
    fields = {key: value for key, value in vars(item).items() if key != "metadata"}
    return {**fields, "metadata_json": item.metadata}


def received(section: str, fields: Mapping[str, Any]) -> Entry:
    """The entry that `sent` wrote so, as it was: nothing is judged, and further keys are passed over."""
    match section:
        case "provider_accounts":
            limits = tuple(fields[name] for name in LIMITS if name in fields)
            return Account(
                fields["provider_code"],
                fields["display_name"],
                fields["account_ref"],
                fields["base_url"],
                fields["enabled"],
                fields["config_json"],
                limits,
            )
        case "style_guides":
            return Guide(fields["name"], fields["instructions"], fields["notes"])
        case "characters":
            return Figure(fields["name"], fields["description"], fields["prompt_text"])
        case "reference_sets":
            items = tuple(
                Item(
                    item["label"],
                    item["content_uri"],
                    item["content_text"],
                    item["sort_order"],
                    item["metadata_json"],
                )
                for item in fields["items"]
            )
            return RefSet(fields["name"], fields["description"], items)
        case "secrets":
            return SecretName(fields["provider_code"], fields["secret_name"])
        case "prompt_templates":
            return Template(fields["name"], fields["template_text"])
    raise ValueError(f"'{section}' is no section")
