"""Routes: prompt templates, style guides, characters."""

from typing import Any

from ninja import Query, Router, Schema
from ninja.params.functions import Body
from pydantic import Field, StrictStr

from projects.access import Action
from projects.api.base import Answer, ApiRequest, Bearer, Deleted, answers, project_of
from projects.api.entries import ORDER, EntryShown, complete, entry_of, given, rows_of, shown
from projects.api.lists import ListAnswer, ListQuery, page_of
from projects.models import Character, PromptTemplate, StyleGuide
from projects.services.library import create_entry, delete_entry, update_entry

router = Router(tags=["library"])

NAME = Field("", description="Required. Unique in the project, capital letters count.", examples=["Ink"])
NEW_NAME = Field(None, description="Another name; it can't be cleared.", examples=["Ink and wash"])


class PromptTemplateIn(Schema):
    """A new prompt template."""

    name: StrictStr = NAME
    template_text: StrictStr = Field(
        "",
        description="Required. The text itself.",
        examples=["Wide shot of {place} at {time}, nobody in sight"],
    )

    def checked(self) -> dict[str, str]:
        """The fields to write, trimmed. Raises `Invalid`."""
        return complete(self, PromptTemplate)


class PromptTemplatePatch(Schema):
    """What is to change of a prompt template; what is left out, or null, stays as it is."""

    name: StrictStr | None = NEW_NAME
    template_text: StrictStr | None = Field(
        None,
        description="The text itself. It can't be cleared.",
        examples=["Wide shot of {place} at {time}, nobody in sight"],
    )

    def checked(self) -> dict[str, str]:
        """The fields that are given, trimmed. Raises `Invalid`."""
        return given(self, PromptTemplate)


SAME_TEMPLATE: Any = Body(default_factory=PromptTemplatePatch)  # an empty body is {}


class PromptTemplateShown(EntryShown):
    """A text that is used again and again."""

    template_text: str = Field(description="The text itself.")


class PromptTemplateAnswer(Answer):
    """One prompt template."""

    prompt_template: PromptTemplateShown


class PromptTemplateList(ListAnswer):
    """The prompt templates of a project, the last changed first."""

    prompt_templates: list[PromptTemplateShown]


@router.get(
    "/api/projects/{slug}/prompt-templates",
    auth=Bearer(Action.READ),
    response=answers(PromptTemplateList),
    summary="List prompt templates",
)
def list_prompt_templates(request: ApiRequest, slug: str, query: Query[ListQuery]) -> dict[str, object]:
    """The prompt templates of a project, the last changed first; all of them unless `limit` is given."""
    rows = rows_of(project_of(request), PromptTemplate)
    return page_of(rows, query, order=ORDER).answer("prompt_templates", shown)


@router.post(
    "/api/projects/{slug}/prompt-templates",
    auth=Bearer(Action.EDIT_LIBRARY),
    response=answers(PromptTemplateAnswer, body=True),
    summary="Create a prompt template",
)
def create_prompt_template(request: ApiRequest, slug: str, payload: PromptTemplateIn) -> dict[str, object]:
    """Add a prompt template to the library. Its name must be free."""
    fields = payload.checked()
    entry = create_entry(project_of(request), PromptTemplate, by=request.principal, **fields)
    return {"prompt_template": shown(entry)}


@router.get(
    "/api/projects/{slug}/prompt-templates/{template_id}",
    auth=Bearer(Action.READ),
    response=answers(PromptTemplateAnswer),
    summary="Show a prompt template",
)
def get_prompt_template(request: ApiRequest, slug: str, template_id: str) -> dict[str, object]:
    """One prompt template."""
    return {"prompt_template": shown(entry_of(request, PromptTemplate, template_id))}


@router.put(
    "/api/projects/{slug}/prompt-templates/{template_id}",
    auth=Bearer(Action.EDIT_LIBRARY),
    response=answers(PromptTemplateAnswer, body=True),
    summary="Change a prompt template",
)
def update_prompt_template(
    request: ApiRequest,
    slug: str,
    template_id: str,
    payload: PromptTemplatePatch = SAME_TEMPLATE,
) -> dict[str, object]:
    """Change the fields that are given; the others stay as they are."""
    fields = payload.checked()
    entry = entry_of(request, PromptTemplate, template_id)
    return {"prompt_template": shown(update_entry(entry, by=request.principal, **fields))}


@router.delete(
    "/api/projects/{slug}/prompt-templates/{template_id}",
    auth=Bearer(Action.EDIT_LIBRARY),
    response=answers(Deleted),
    summary="Delete a prompt template",
)
def delete_prompt_template(request: ApiRequest, slug: str, template_id: str) -> dict[str, object]:
    """Take a prompt template out of the library. Runs that used it keep what they recorded."""
    delete_entry(entry_of(request, PromptTemplate, template_id), by=request.principal)
    return {"deleted": True, "id": template_id}


class StyleGuideIn(Schema):
    """A new style guide."""

    name: StrictStr = NAME
    instructions: StrictStr = Field(
        "",
        description="Required. Go into the prompt of each run that uses this guide.",
        examples=["Heavy ink lines, flat colour"],
    )
    notes: StrictStr | None = Field(
        None, description="For people only; never sent to a provider.", examples=["Agreed with the studio"]
    )

    def checked(self) -> dict[str, str]:
        """The fields to write, trimmed. Raises `Invalid`."""
        return complete(self, StyleGuide)


class StyleGuidePatch(Schema):
    """What is to change of a style guide; what is left out, or null, stays as it is."""

    name: StrictStr | None = NEW_NAME
    instructions: StrictStr | None = Field(
        None,
        description="Go into the prompt of each run that uses this guide. It can't be cleared.",
        examples=["Heavy ink lines, flat colour"],
    )
    notes: StrictStr | None = Field(
        None,
        description="For people only; never sent to a provider. Blank clears it.",
        examples=["Agreed with the studio"],
    )

    def checked(self) -> dict[str, str]:
        """The fields that are given, trimmed. Raises `Invalid`."""
        return given(self, StyleGuide)


SAME_GUIDE: Any = Body(default_factory=StyleGuidePatch)  # an empty body is {}


class StyleGuideShown(EntryShown):
    """How pictures are to look, in words."""

    instructions: str = Field(description="Go into the prompt of each run that uses this guide.")
    notes: str = Field(description="For people only; never sent to a provider; '' if there is nothing.")


class StyleGuideAnswer(Answer):
    """One style guide."""

    style_guide: StyleGuideShown


class StyleGuideList(ListAnswer):
    """The style guides of a project, the last changed first."""

    style_guides: list[StyleGuideShown]


@router.get(
    "/api/projects/{slug}/style-guides",
    auth=Bearer(Action.READ),
    response=answers(StyleGuideList),
    summary="List style guides",
)
def list_style_guides(request: ApiRequest, slug: str, query: Query[ListQuery]) -> dict[str, object]:
    """The style guides of a project, the last changed first; all of them unless `limit` is given."""
    rows = rows_of(project_of(request), StyleGuide)
    return page_of(rows, query, order=ORDER).answer("style_guides", shown)


@router.post(
    "/api/projects/{slug}/style-guides",
    auth=Bearer(Action.EDIT_LIBRARY),
    response=answers(StyleGuideAnswer, body=True),
    summary="Create a style guide",
)
def create_style_guide(request: ApiRequest, slug: str, payload: StyleGuideIn) -> dict[str, object]:
    """Add a style guide to the library. Its name must be free."""
    fields = payload.checked()
    entry = create_entry(project_of(request), StyleGuide, by=request.principal, **fields)
    return {"style_guide": shown(entry)}


@router.get(
    "/api/projects/{slug}/style-guides/{style_guide_id}",
    auth=Bearer(Action.READ),
    response=answers(StyleGuideAnswer),
    summary="Show a style guide",
)
def get_style_guide(request: ApiRequest, slug: str, style_guide_id: str) -> dict[str, object]:
    """One style guide."""
    return {"style_guide": shown(entry_of(request, StyleGuide, style_guide_id))}


@router.put(
    "/api/projects/{slug}/style-guides/{style_guide_id}",
    auth=Bearer(Action.EDIT_LIBRARY),
    response=answers(StyleGuideAnswer, body=True),
    summary="Change a style guide",
)
def update_style_guide(
    request: ApiRequest,
    slug: str,
    style_guide_id: str,
    payload: StyleGuidePatch = SAME_GUIDE,
) -> dict[str, object]:
    """Change the fields that are given; the others stay as they are."""
    fields = payload.checked()
    entry = entry_of(request, StyleGuide, style_guide_id)
    return {"style_guide": shown(update_entry(entry, by=request.principal, **fields))}


@router.delete(
    "/api/projects/{slug}/style-guides/{style_guide_id}",
    auth=Bearer(Action.EDIT_LIBRARY),
    response=answers(Deleted),
    summary="Delete a style guide",
)
def delete_style_guide(request: ApiRequest, slug: str, style_guide_id: str) -> dict[str, object]:
    """Take a style guide out of the library. Runs that used it keep what they recorded."""
    delete_entry(entry_of(request, StyleGuide, style_guide_id), by=request.principal)
    return {"deleted": True, "id": style_guide_id}


class CharacterIn(Schema):
    """A new character."""

    name: StrictStr = NAME
    description: StrictStr | None = Field(
        None, description="Who this is, for people.", examples=["The ferrywoman of the marsh"]
    )
    prompt_text: StrictStr | None = Field(
        None,
        description="The words that describe this character in a prompt.",
        examples=["a tall woman in an oilskin coat"],
    )

    def checked(self) -> dict[str, str]:
        """The fields to write, trimmed. Raises `Invalid`."""
        return complete(self, Character)


class CharacterPatch(Schema):
    """What is to change of a character; what is left out, or null, stays as it is."""

    name: StrictStr | None = NEW_NAME
    description: StrictStr | None = Field(
        None,
        description="Who this is, for people. Blank clears it.",
        examples=["The ferrywoman of the marsh"],
    )
    prompt_text: StrictStr | None = Field(
        None,
        description="The words that describe this character in a prompt. Blank clears it.",
        examples=["a tall woman in an oilskin coat"],
    )

    def checked(self) -> dict[str, str]:
        """The fields that are given, trimmed. Raises `Invalid`."""
        return given(self, Character)


SAME_CHARACTER: Any = Body(default_factory=CharacterPatch)  # an empty body is {}


class CharacterShown(EntryShown):
    """Somebody whose face and figure must stay the same."""

    description: str = Field(description="Who this is, for people; '' if there is nothing.")
    prompt_text: str = Field(
        description="The words that describe this character in a prompt; '' if there is nothing."
    )


class CharacterAnswer(Answer):
    """One character."""

    character: CharacterShown


class CharacterList(ListAnswer):
    """The characters of a project, the last changed first."""

    characters: list[CharacterShown]


@router.get(
    "/api/projects/{slug}/characters",
    auth=Bearer(Action.READ),
    response=answers(CharacterList),
    summary="List characters",
)
def list_characters(request: ApiRequest, slug: str, query: Query[ListQuery]) -> dict[str, object]:
    """The characters of a project, the last changed first; all of them unless `limit` is given."""
    rows = rows_of(project_of(request), Character)
    return page_of(rows, query, order=ORDER).answer("characters", shown)


@router.post(
    "/api/projects/{slug}/characters",
    auth=Bearer(Action.EDIT_LIBRARY),
    response=answers(CharacterAnswer, body=True),
    summary="Create a character",
)
def create_character(request: ApiRequest, slug: str, payload: CharacterIn) -> dict[str, object]:
    """Add a character to the library. Its name must be free."""
    fields = payload.checked()
    entry = create_entry(project_of(request), Character, by=request.principal, **fields)
    return {"character": shown(entry)}


@router.get(
    "/api/projects/{slug}/characters/{character_id}",
    auth=Bearer(Action.READ),
    response=answers(CharacterAnswer),
    summary="Show a character",
)
def get_character(request: ApiRequest, slug: str, character_id: str) -> dict[str, object]:
    """One character."""
    return {"character": shown(entry_of(request, Character, character_id))}


@router.put(
    "/api/projects/{slug}/characters/{character_id}",
    auth=Bearer(Action.EDIT_LIBRARY),
    response=answers(CharacterAnswer, body=True),
    summary="Change a character",
)
def update_character(
    request: ApiRequest,
    slug: str,
    character_id: str,
    payload: CharacterPatch = SAME_CHARACTER,
) -> dict[str, object]:
    """Change the fields that are given; the others stay as they are."""
    fields = payload.checked()
    entry = entry_of(request, Character, character_id)
    return {"character": shown(update_entry(entry, by=request.principal, **fields))}


@router.delete(
    "/api/projects/{slug}/characters/{character_id}",
    auth=Bearer(Action.EDIT_LIBRARY),
    response=answers(Deleted),
    summary="Delete a character",
)
def delete_character(request: ApiRequest, slug: str, character_id: str) -> dict[str, object]:
    """Take a character out of the library. Runs that used it keep what they recorded."""
    delete_entry(entry_of(request, Character, character_id), by=request.principal)
    return {"deleted": True, "id": character_id}
