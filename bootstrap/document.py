"""The exchange format `kroma.bootstrap.v1`: what may be sent, and what it comes to once it is judged."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from pydantic import BaseModel, Field, JsonValue, StrictBool, StrictInt, StrictStr, model_validator

from bootstrap.entries import (
    LIMITS,
    SECTIONS,
    Account,
    Document,
    Entry,
    Figure,
    Guide,
    Item,
    ProjectPatch,
    RefSet,
    SecretName,
    Template,
    ascii_lower,
    without_markers,
)
from projects.errors import Invalid
from projects.names import slugified
from projects.redaction import credential_paths
from projects.services.accounts import LARGEST_LIMIT, check_address, check_size
from projects.services.accounts import LONGEST as LONGEST_OF_ACCOUNT
from projects.services.library import LONGEST as LONGEST_OF_ENTRY
from projects.services.library import PLACES
from projects.texts import LONGEST_NAME, LONGEST_TEXT, optional_text, required_text

SCHEMA_VERSION = "kroma.bootstrap.v1"
MODES = ("merge", "replace")
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
    max_concurrency: StrictInt | None = Field(
        None, description="Calls at once, null for no limit. Left out with the next: both stay.", examples=[4]
    )
    requests_per_minute: StrictInt | None = Field(
        None, description="Calls a minute, null for no limit.", examples=[30]
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
        limits = self.limits(raw)
        return Account(code, name or code, ref, address, raw.enabled is not False, config, limits)

    def limits(self, raw: ImportedAccount) -> tuple[int | None, ...]:
        """Both limits as given, () for none of them."""
        given = [name for name in LIMITS if name in raw.model_fields_set]
        if len(given) == 1:
            other = next(name for name in LIMITS if name not in given)
            self.wrong(other, f"Field 'provider_accounts[].{other}' is required beside '{given[0]}'")
        limits = tuple(getattr(raw, name) for name in given)
        for name, limit in zip(given, limits, strict=True):
            if limit is not None and not 1 <= limit <= LARGEST_LIMIT:
                span = f"must be null or between 1 and {LARGEST_LIMIT}"
                self.wrong(name, f"Field 'provider_accounts[].{name}' {span}")
        return limits if len(limits) == len(LIMITS) else ()

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
