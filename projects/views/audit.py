"""The audit trail, to be read: of one universe by its owners, of the whole installation by the operator."""

from datetime import UTC, datetime, time
from typing import Any

from django.db.models import Q
from django.http import Http404, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from projects.access import Action, PageRequest, project_page
from projects.forms import TrailForm
from projects.models import ApiToken, AuditEvent, Project
from projects.trail import told

N_EVENTS = 100  # a page


@require_safe
@project_page(Action.SEE_AUDIT)
def trail(request: PageRequest, project: Project) -> HttpResponse:
    """What was done in this universe, newest first."""
    return _page(request, AuditEvent.objects.of_project(project), {"project": project, "section": "audit"})


@require_safe
def whole_trail(request: PageRequest) -> HttpResponse:
    """Everything that was done in this installation, for those who manage it."""
    user = request.principal.user
    if user is None or not user.is_superuser:
        raise Http404("No such page")
    return _page(request, AuditEvent.objects.all(), {})


def _page(request: PageRequest, events: Any, context: dict[str, object]) -> HttpResponse:
    form = TrailForm(request.GET)
    wanted = form.cleaned_data if form.is_valid() else {}
    found = list(_filtered(events, wanted).order_by("-sequence")[: N_EVENTS + 1])
    shown, more = found[:N_EVENTS], len(found) > N_EVENTS
    tokens = ApiToken.objects.in_bulk({event.token_id for event in shown if event.token_id})
    older = request.GET.copy()
    if more:
        older["before"] = str(shown[-1].sequence)
    newest = request.GET.copy()
    newest.pop("before", None)
    context |= {
        "form": form,
        "rows": [(event, tokens.get(event.token_id), told(event.payload)) for event in shown],
        "older": older.urlencode() if more else "",
        "newest": newest.urlencode(),
        "is_later_page": bool(wanted.get("before")),
        "is_filtered": any(value for name, value in wanted.items() if name != "before"),
    }
    return render(request, "projects/audit.html", context, status=422 if form.errors else 200)


def _filtered(events: Any, wanted: dict[str, Any]) -> Any:
    if wanted.get("event"):
        events = events.filter(event_code__istartswith=wanted["event"].strip())
    if wanted.get("actor"):
        events = events.filter(actor__iexact=wanted["actor"].strip())
    if wanted.get("subject"):
        subject = wanted["subject"].strip()
        events = events.filter(Q(subject_type__iexact=subject) | Q(subject_id__istartswith=subject))
    if wanted.get("since"):
        events = events.filter(created_at__gte=datetime.combine(wanted["since"], time(), UTC))
    if wanted.get("until"):
        events = events.filter(created_at__lte=datetime.combine(wanted["until"], time.max, UTC))
    if wanted.get("before"):
        events = events.filter(sequence__lt=wanted["before"])
    return events
