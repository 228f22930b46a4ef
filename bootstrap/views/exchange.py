"""The page of the exchange: the prompt, the answer, what it would change, and changing it."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_POST, require_safe

from bootstrap import services
from bootstrap.api.shapes import project_shown, settings_shown
from bootstrap.entries import Document
from bootstrap.forms import AnswerForm, BriefForm
from bootstrap.parse import answer_of
from bootstrap.presentation import TITLES, Shown, shown
from bootstrap.prompt import brief_of, prompt_text
from bootstrap.services import OWNERS_SECTIONS, Outcome, SettingsChanged
from projects.access import Action, PageRequest, allows, project_page
from projects.errors import Invalid, KromaError
from projects.models import Project

CHARACTERS_OF_A_TOKEN = 4  # of English text, on average; other languages need more tokens
NOT_SEEN = "This is not what you looked at last: here is what would change now"


@dataclass
class Look:
    """What an answer would do, or why it can't be read."""

    problems: Sequence[Mapping[str, object]] = ()
    error: str = ""
    plan: Shown | None = None
    repairs: Sequence[str] = ()
    notes: list[str] = field(default_factory=list)
    notice: str = ""
    fingerprint: str = ""
    seen: str = ""


@require_safe
@project_page(Action.READ)
def exchange(request: PageRequest, project: Project) -> HttpResponse:
    """The prompt to copy, and the place for the answer."""
    return _page(request, project, AnswerForm(), None)


@require_POST
@project_page(Action.EDIT_LIBRARY)
def exchange_look(request: PageRequest, project: Project) -> HttpResponse:
    """What the answer would change. Nothing is written."""
    form = AnswerForm(request.POST, request.FILES)
    return _page(request, project, form, _look(request, project, form))


@require_POST
@project_page(Action.EDIT_LIBRARY)
def exchange_import(request: PageRequest, project: Project) -> HttpResponse:
    """Import what was looked at; anything else is only shown."""
    form = AnswerForm(request.POST, request.FILES)
    look = _look(request, project, form)
    if look.plan is None:
        return _page(request, project, form, look)
    if form.cleaned_data["seen"] != look.seen:
        look.notice = NOT_SEEN
        return _page(request, project, form, look, status=422)
    document, _ = _document(request, form)
    by, role = request.principal, request.project_role
    try:
        services.apply(project, document, by=by, role=role, fingerprint=look.fingerprint)
    except SettingsChanged as error:
        look = _of_outcome(form, document, error.outcome)
        look.notice = str(error)
        return _page(request, project, form, look, status=422)
    except KromaError as error:
        return _page(request, project, form, _refused(error))
    done = look.plan.done if look.plan else ""
    messages.success(
        request, f"Imported: {done or 'nothing was different'}. To undo it, restore the first state below."
    )
    return redirect("bootstrap:history", project.slug)


def _page(
    request: PageRequest, project: Project, form: AnswerForm, look: Look | None, *, status: int = 200
) -> HttpResponse:
    if look is not None and look.error:
        status = 422
    context: dict[str, object] = {
        "project": project,
        "section": "exchange",
        "form": form,
        "look": look,
        "left_out_sections": [] if _is_owner(request) else [TITLES[one] for one in OWNERS_SECTIONS],
    }
    target = request.htmx.target if request.htmx else ""  # type: ignore[attr-defined]
    if target == "review":
        return render(request, "bootstrap/exchange.html#review", context, status=status)
    brief = BriefForm(request.GET if "brief" in request.GET else None)
    text = brief.cleaned_data["brief"] if brief.is_bound and brief.is_valid() else ""
    prompt = _prompt(project, text)
    context |= {"brief": brief, "prompt": prompt, "n_tokens": len(prompt) // CHARACTERS_OF_A_TOKEN}
    partial = "#prompt" if target == "prompt" else ""
    status = 422 if brief.errors else status
    return render(request, f"bootstrap/exchange.html{partial}", context, status=status)


def _prompt(project: Project, brief: str) -> str:
    settings = settings_shown(project, services.stored(project))
    return prompt_text(project_shown(project, project.name, project.description), settings, brief_of(brief))


def _is_owner(request: PageRequest) -> bool:
    return allows(request.project_role, Action.MANAGE_SETTINGS)


def _document(request: PageRequest, form: AnswerForm) -> tuple[Document, str | None]:
    """What the form asks for, and the mode that the answer itself names. Raises `Invalid`."""
    answer = answer_of(form.cleaned_data["text"], form.cleaned_data["mode"])
    document = replace(answer.document, left_out=form.left_out)
    if not _is_owner(request):
        document = services.without_owners_sections(document)
    return document, answer.mode


def _look(request: PageRequest, project: Project, form: AnswerForm) -> Look:
    if not form.is_valid():
        return Look(error="The form can't be read: look at the fields above")
    if not form.cleaned_data["text"].strip():
        return Look()
    try:
        document, asked = _document(request, form)
        outcome = services.preview(project, document, role=request.project_role)
    except KromaError as error:
        return _refused(error)
    look = _of_outcome(form, document, outcome)
    if asked is not None and asked.strip().lower() != document.mode:
        look.notes.append(f"The answer itself asks to {asked.strip().lower()}; what you chose above holds.")
    return look


def _refused(error: KromaError) -> Look:
    details = error.extra.get("details") if isinstance(error, Invalid) else None
    problems = details if isinstance(details, list) else []
    return Look(problems=problems, error=str(error))


def _of_outcome(form: AnswerForm, document: Document, outcome: Outcome) -> Look:
    plan, fingerprint = shown(outcome.before, outcome.plan, document), outcome.fingerprint
    return Look(plan=plan, repairs=document.repairs, fingerprint=fingerprint, seen=_seen(form, fingerprint))


def _seen(form: AnswerForm, fingerprint: str) -> str:
    """Stands for all that a look was made from: the settings, the answer, the mode, what was left out."""
    data = form.cleaned_data
    parts = [fingerprint, data["mode"], data["text"], sorted(form.left_out)]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()
