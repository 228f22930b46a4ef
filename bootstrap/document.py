"""The exchange format `kroma.bootstrap.v1`: what may be sent, and what it comes to once it is judged."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel, Field, JsonValue, StrictBool, StrictInt, StrictStr, model_validator

from projects.errors import Invalid
from projects.names import slugified
from projects.redaction import credential_paths, redacted
from projects.services.accounts import LONGEST as LONGEST_OF_ACCOUNT
from projects.services.accounts import check_address, check_size
from projects.services.library import LONGEST as LONGEST_OF_ENTRY
from projects.services.library import PLACES
from projects.texts import LONGEST_NAME, LONGEST_TEXT, optional_text, required_text

SCHEMA_VERSION = "kroma.bootstrap.v1"
KEPT = "[kept]"  # stands for a credential that stays where it is
MODES = ("merge", "replace")
# In the order in which they are judged.
SECTIONS = (
    "provider_accounts",
    "style_guides",
    "characters",
    "reference_sets",
    "secrets",
    "prompt_templates",
)
MOST_ENTRIES = 20_000
MOST_PROBLEMS = 100  # that one answer lists
LONGEST_CODE, LONGEST_ADDRESS = LONGEST_OF_ACCOUNT["provider_code"], LONGEST_OF_ACCOUNT["base_url"]
LONGEST_LABEL, LONGEST_URI = LONGEST_OF_ENTRY["label"], LONGEST_OF_ENTRY["content_uri"]

Text = StrictStr | None
Problem = tuple[str, str]  # its path, and the sentence


class ImportedProject(BaseModel):
    """What the project is called; a field that is left out stays as it is."""

    name: Text = Field(None, examples=["Saltmarsh"])
    description: Text = Field(None, description="Blank clears it.", examples=["A town behind the dyke."])


class ImportedAccount(BaseModel):
    """One provider account, whole: what is left out gets its default."""

    provider_code: Text = Field(None, examples=["openai"])
    display_name: Text = Field(None, description="Blank: the code.", examples=["OpenAI Studio"])
    account_ref: Text = Field(None, examples=["studio-1"])
    base_url: Text = Field(None, examples=["https://api.openai.com/v1"])
    enabled: StrictBool | None = Field(None, description="Left out: true.", examples=[True])
    config_json: JsonValue = Field(
        None, description="Any JSON; `[kept]` stands for a stored credential.", examples=[{"timeout": 60}]
    )


class ImportedGuide(BaseModel):
    """One style guide."""

    name: Text = Field(None, examples=["Studio Look"])
    instructions: Text = Field(None, examples=["Ink lines, flat colours."])
    notes: Text = Field(None, examples=["Since chapter 3."])


class ImportedCharacter(BaseModel):
    """One character."""

    name: Text = Field(None, examples=["Mira"])
    description: Text = Field(None, examples=["The keeper of the dyke."])
    prompt_text: Text = Field(None, examples=["a tall woman with grey eyes"])


class ImportedItem(BaseModel):
    """One item of a reference set: at least one of the two contents is needed."""

    label: Text = Field(None, examples=["Front"])
    content_uri: Text = Field(None, examples=["references/front.png"])
    content_text: Text = Field(None, examples=["Seen from the quay."])
    sort_order: StrictInt | None = Field(None, description="Left out: 0.", examples=[0])
    metadata_json: JsonValue = Field(None, description="Any JSON.", examples=[{}])


class ImportedSet(BaseModel):
    """One reference set; `items` must be there and becomes all that the set has."""

    name: Text = Field(None, examples=["Hero Faces"])
    description: Text = Field(None, examples=["Mira from all sides."])
    items: list[ImportedItem] | None = Field(None, description="`[]` for an empty set.")


class ImportedSecret(BaseModel):
    """That a secret is needed; a value is never taken."""

    provider_code: Text = Field(None, examples=["openai"])
    secret_name: Text = Field(None, examples=["api_key"])


class ImportedTemplate(BaseModel):
    """One prompt template."""

    name: Text = Field(None, examples=["Opening"])
    template_text: Text = Field(None, examples=["Draw {character} at the quay."])


class ImportedSettings(BaseModel):
    """The sections; one that is left out or null is not touched."""

    project: ImportedProject | None = None
    provider_accounts: list[ImportedAccount] | None = None
    style_guides: list[ImportedGuide] | None = None
    characters: list[ImportedCharacter] | None = None
    reference_sets: list[ImportedSet] | None = None
    secrets: list[ImportedSecret] | None = None
    prompt_templates: list[ImportedTemplate] | None = None

    @model_validator(mode="before")
    @classmethod
    def check_entries(cls, raw: Any) -> Any:
        """Count before anything is made of the entries: a million of them would fill the memory.

        Raises `Invalid`, which pydantic lets pass.
        """
        if isinstance(raw, dict):
            n_entries = sum(_n_entries(raw.get(section)) for section in SECTIONS)
            if n_entries > MOST_ENTRIES:
                raise Invalid(f"Import payload has {n_entries} entries: use at most {MOST_ENTRIES}")
        return raw


@dataclass(frozen=True)
class Entry:
    """One entry of a section, judged. `key` tells which entry it is, `content` whether two are equal."""

    @property
    def key(self) -> tuple[str, ...]:
        raise NotImplementedError

    @property
    def content(self) -> object:
        return self


@dataclass(frozen=True)
class Account(Entry):
    provider_code: str
    display_name: str = ""
    account_ref: str = ""
    base_url: str = ""
    enabled: bool = True
    config: Any = field(default_factory=dict)

    @property
    def key(self) -> tuple[str, ...]:
        return (self.provider_code,)

    @property
    def content(self) -> object:
        texts = (self.display_name, self.account_ref, self.base_url, self.enabled)
        return (self.provider_code, *texts, exact(self.config))


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
    """What is wanted: the mode, and the sections that were given, each key once."""

    mode: str
    project: ProjectPatch | None
    sections: Mapping[str, tuple[Entry, ...]]
    repairs: tuple[str, ...] = ()


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


def refused(
    problems: Sequence[Problem], *, error: str = "", lines: Mapping[str, int] | None = None
) -> Invalid:
    """The error of a payload: the first problem (or `error`), with all of them and their paths beside it.

    `lines` has the line of each path of a text; what is not there gets the line of what it should be in.
    """
    listed: list[dict[str, object]] = []
    for path, problem in problems[:MOST_PROBLEMS]:
        known = next((one for one in (path, *outer_paths(path)) if one in (lines or {})), None)
        line = {} if lines is None or known is None else {"line": lines[known]}
        listed.append({"path": path, "problem": problem, **line})
    return Invalid(error or problems[0][1], extra={"details": listed})


def outer_paths(path: str) -> Iterator[str]:
    """The paths of what a path lies in, from the inside out: `a[1].b` lies in `a[1]`, `a` and ``."""
    while path:
        path = path[: max(path.rfind("."), path.rfind("["), 0)]
        yield path


def mode_of(*given: str | None) -> str:
    """The first mode that is given, or merge. Raises `Invalid`."""
    mode = next((one for one in given if one is not None), "merge")
    mode = ascii_lower(mode.strip())
    if mode not in MODES:
        raise Invalid("Field 'mode' must be one of: merge, replace")
    return mode


def judged(raw: ImportedSettings, mode: str, repairs: Sequence[str] = ()) -> Document:
    """The document of a payload, trimmed. Raises `Invalid` with all that is wrong with it."""
    document, problems = weighed(raw, mode, repairs)
    if problems:
        raise refused(problems)
    check_given(document)
    return document


def weighed(raw: ImportedSettings, mode: str, repairs: Sequence[str] = ()) -> tuple[Document, list[Problem]]:
    """The document of a payload, trimmed, and what is wrong with it."""
    judge = _Judge()
    patch = judge.project(raw.project) if raw.project else None
    sections: dict[str, tuple[Entry, ...]] = {}
    for section in SECTIONS:
        rows = getattr(raw, section)
        if rows is not None:
            sections[section] = _last_of_each(judge.entries(section, rows))
    return Document(mode=mode, project=patch, sections=sections, repairs=tuple(repairs)), judge.problems


def check_given(document: Document) -> None:
    """Raise `Invalid` for a document that has no project and no section."""
    if document.project is None and not document.sections:
        raise Invalid("Import payload does not include any settings")


def _n_entries(rows: Any) -> int:
    """How many entries a section has, with the items in them."""
    if not isinstance(rows, list):
        return 0
    items = (row.get("items") for row in rows if isinstance(row, dict))
    return len(rows) + sum(len(one) for one in items if isinstance(one, list))


def _last_of_each(entries: Iterable[Entry]) -> tuple[Entry, ...]:
    """The last entry of each key, in the order of the first ones."""
    return tuple({entry.key: entry for entry in entries}.values())


class _Judge:
    """Judges entry by entry, and goes on after a problem, so that one answer can list all."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []
        self.place = ""

    def project(self, raw: ImportedProject) -> ProjectPatch:
        self.place = "project"
        return ProjectPatch(
            name=None if raw.name is None else self.needed("project.name", raw.name, LONGEST_NAME),
            description=None
            if raw.description is None
            else self.text("project.description", raw.description),
        )

    def entries(self, section: str, rows: Sequence[Any]) -> list[Entry]:
        made = []
        judge = getattr(self, section)
        for number, row in enumerate(rows):
            self.place = f"{section}[{number}]"
            before = len(self.problems)
            entry = judge(row)
            if len(self.problems) == before:
                made.append(entry)
        return made

    def provider_accounts(self, raw: ImportedAccount) -> Account:
        code = self.code(raw.provider_code)
        name = self.text("provider_accounts[].display_name", raw.display_name, LONGEST_NAME)
        ref = self.text("provider_accounts[].account_ref", raw.account_ref, LONGEST_NAME)
        address = self.text("provider_accounts[].base_url", raw.base_url, LONGEST_ADDRESS)
        config = {} if raw.config_json is None else raw.config_json
        for place, check, value in (
            ("base_url", check_address, address),
            ("config_json", check_size, config),
        ):
            try:
                check(value)
            except Invalid as error:
                self.wrong(place, str(error))
        for path in credential_paths(without_markers(config)):
            self.wrong(
                f"config_json.{path}".rstrip("."),
                f"Field 'provider_accounts[].config_json' holds a credential at '{path}': make it a secret",
            )
        return Account(code, name or code, ref, address, raw.enabled is not False, config)

    def style_guides(self, raw: ImportedGuide) -> Guide:
        return Guide(
            self.needed("style_guides[].name", raw.name, LONGEST_NAME),
            self.needed("style_guides[].instructions", raw.instructions),
            self.text("style_guides[].notes", raw.notes),
        )

    def characters(self, raw: ImportedCharacter) -> Figure:
        return Figure(
            self.needed("characters[].name", raw.name, LONGEST_NAME),
            self.text("characters[].description", raw.description),
            self.text("characters[].prompt_text", raw.prompt_text),
        )

    def reference_sets(self, raw: ImportedSet) -> RefSet:
        name = self.needed("reference_sets[].name", raw.name, LONGEST_NAME)
        description = self.text("reference_sets[].description", raw.description)
        if raw.items is None:
            field_ = "reference_sets[].items"
            self.wrong("items", f"Field '{field_}' is required (use [] to provide an empty set)")
        outer, items = self.place, []
        for number, item in enumerate(raw.items or ()):
            self.place = f"{outer}.items[{number}]"
            items.append(self.item(item))
        self.place = outer
        return RefSet(name, description, tuple(sorted(items, key=lambda item: item.sort_order)))

    def item(self, raw: ImportedItem) -> Item:
        label = self.needed("reference_sets[].items[].label", raw.label, LONGEST_LABEL)
        uri = self.text("reference_sets[].items[].content_uri", raw.content_uri, LONGEST_URI)
        text = self.text("reference_sets[].items[].content_text", raw.content_text)
        blank = not (raw.content_uri or "").strip() and not (raw.content_text or "").strip()
        if blank:
            needs = "requires at least one of: content_uri, content_text"
            self.wrong("", f"Field 'reference_sets[].items[]' {needs}")
        order = raw.sort_order or 0
        if not PLACES[0] <= order <= PLACES[1]:
            span = f"must be between {PLACES[0]} and {PLACES[1]}"
            self.wrong("sort_order", f"Field 'reference_sets[].items[].sort_order' {span}")
        return Item(label, uri, text, order, {} if raw.metadata_json is None else raw.metadata_json)

    def secrets(self, raw: ImportedSecret) -> SecretName:
        code = self.code(raw.provider_code)
        return SecretName(code, self.needed("secrets[].secret_name", raw.secret_name, LONGEST_NAME))

    def prompt_templates(self, raw: ImportedTemplate) -> Template:
        return Template(
            self.needed("prompt_templates[].name", raw.name, LONGEST_NAME),
            self.needed("prompt_templates[].template_text", raw.template_text),
        )

    def code(self, value: str | None) -> str:
        """A provider's code; the contract names it without its section."""
        return self.needed("provider_code", slugified(value or ""), LONGEST_CODE)

    def needed(self, name: str, value: str | None, longest: int = LONGEST_TEXT) -> str:
        try:
            return required_text(name, value, longest=longest)
        except Invalid as error:
            self.wrong(name.rpartition(".")[2], str(error))
            return ""

    def text(self, name: str, value: str | None, longest: int = LONGEST_TEXT) -> str:
        try:
            return optional_text(name, value, longest=longest)
        except Invalid as error:
            self.wrong(name.rpartition(".")[2], str(error))
            return ""

    def wrong(self, name: str, problem: str) -> None:
        self.problems.append((f"{self.place}.{name}" if name else self.place, problem))


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
