"""The Lab: one image, one tool, before and after; nothing of it is in a universe unless one says so."""

from typing import cast
from uuid import UUID

from django import forms
from django.contrib import messages
from django.http import HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from pipeline.models.lab import LabWork
from pipeline.providers.images import MAX_IMAGE_BYTES
from pipeline.services import lab
from pipeline.services.labtools import PROFILES, SCALES, UPSCALERS
from pipeline.views.files import send_path
from pipeline.views.tones import tone_lines
from projects.access import LEAST_ROLE, Action, PageRequest, Role
from projects.errors import KromaError, NotFound
from projects.models import ReferenceSet, User

Tool = LabWork.Tool


class LabForm(forms.Form):
    """An image, a tool, and what the tool wants to know."""

    image = forms.FileField(label="Image", widget=forms.FileInput(attrs={"accept": "image/*"}))
    tool = forms.ChoiceField(choices=Tool.choices, widget=forms.RadioSelect)
    box = forms.CharField(
        label="Where the figure is",
        required=False,
        max_length=100,
        widget=forms.TextInput(attrs={"inputmode": "decimal", "autocomplete": "off"}),
        help_text="Draw a box on the image, or write left, top, right and bottom in per cent, as 10 5 60 95. "
        "Blank: what stands out most.",
    )
    scale = forms.TypedChoiceField(
        label="Enlarge", choices=[(n, f"{n} times") for n in SCALES], coerce=int, initial=SCALES[0]
    )
    upscaler = forms.ChoiceField(label="By", choices=list(UPSCALERS.items()))
    profile = forms.ChoiceField(label="Colour profile", choices=[(name, name) for name in PROFILES])
    style = forms.FileField(
        label="Image that shows the style",
        required=False,
        widget=forms.FileInput(attrs={"accept": "image/*"}),
    )
    seed = forms.IntegerField(label="Seed", required=False, min_value=0, max_value=2**31 - 1, initial=0)

    def clean(self) -> dict[str, object]:
        """Refuse files that are larger than any image may be."""
        data = super().clean() or self.cleaned_data
        for name in ("image", "style"):
            file = data.get(name)
            if file is not None and file.size > MAX_IMAGE_BYTES:
                self.add_error(name, f"{file.name} is larger than {MAX_IMAGE_BYTES // 1024**2} MiB")
        return data

    def clean_box(self) -> list[str] | None:
        """The four sides as they were written; what they may be is the tool's to say."""
        return str(self.cleaned_data["box"]).replace(",", " ").split() or None

    @property
    def options(self) -> dict[str, object]:
        """What the chosen tool wants to know."""
        data = self.cleaned_data
        names = {
            Tool.CUTOUT: ("box",),
            Tool.UPSCALE: ("scale", "upscaler"),
            Tool.COLOUR: ("profile",),
            Tool.RESTYLE: ("seed",),
        }.get(data["tool"], ())
        return {name: data[name] for name in names if data[name] is not None}


@require_http_methods(["GET", "POST"])
def lab_page(request: PageRequest) -> HttpResponse:
    """One's works of the last day, and the place to begin another."""
    form = LabForm(
        request.POST or None, request.FILES or None, initial={"tool": request.GET.get("tool", Tool.CUTOUT)}
    )
    if request.method == "POST" and form.is_valid():
        data = form.cleaned_data
        style = data["style"] if data["tool"] == Tool.RESTYLE else None
        try:
            return redirect(
                lab.begin(
                    cast(User, request.principal.user),
                    data["image"],
                    tool=data["tool"],
                    options=form.options,
                    style=style,
                    by=request.principal,
                )
            )
        except KromaError as error:
            form.add_error(None, str(error))
    works = LabWork.objects.visible_to(request.principal)
    return render(
        request, "pipeline/lab.html", {"form": form, "works": works}, status=422 if form.errors else 200
    )


@require_safe
def lab_work(request: PageRequest, pk: UUID) -> HttpResponse:
    """One work; it polls itself until something came of it."""
    work = _work(request, pk)
    context: dict[str, object] = {"work": work}
    if work.result:
        context |= {
            "tones": {part: tone_lines(work.facts[part]["tones"]) for part in ("before", "after")},
            "sets": ReferenceSet.objects.filter(
                project__memberships__user=request.principal.user, project__memberships__role__in=_EDITORS
            ).select_related("project"),
        }
    partial = "#work" if request.htmx else ""
    return render(request, f"pipeline/lab_work.html{partial}", context)


@require_safe
def lab_source(request: PageRequest, pk: UUID) -> HttpResponseBase:
    """The image as it was brought."""
    work = _work(request, pk)
    return send_path(request, lab.path_of(work, work.source), filename=work.label)


@require_safe
def lab_result(request: PageRequest, pk: UUID) -> HttpResponseBase:
    """What came of it; `?download=1` saves it."""
    work = _work(request, pk)
    if not work.result:
        raise NotFound("There is no result yet")
    name = f"{work.label.rpartition('.')[0] or work.label}-{work.tool}.png"
    return send_path(request, lab.path_of(work, work.result), filename=name)


@require_POST
def lab_delete(request: PageRequest, pk: UUID) -> HttpResponse:
    """Forget a work before its day is over."""
    lab.delete(_work(request, pk), by=request.principal)
    messages.success(request, "Deleted, with its files.")
    return redirect("pipeline:lab")


@require_POST
def lab_keep(request: PageRequest, pk: UUID) -> HttpResponse:
    """Put the result into a reference set of a universe that one may edit."""
    work = _work(request, pk)
    mine = ReferenceSet.objects.filter(
        project__memberships__user=request.principal.user, project__memberships__role__in=_EDITORS
    )
    try:
        found = get_object_or_404(mine, pk=UUID(request.POST.get("set", "")))
    except ValueError:
        messages.error(request, "Choose a reference set to keep it in.")
        return redirect(work)
    item = lab.keep(work, found, by=request.principal)
    messages.success(request, f"{item.label} is now in {found.name} of {found.project.name}.")
    return redirect(found)


_EDITORS = [role.value for role in Role if role.rank <= LEAST_ROLE[Action.EDIT_LIBRARY].rank]


def _work(request: PageRequest, pk: UUID) -> LabWork:
    return get_object_or_404(LabWork.objects.visible_to(request.principal), pk=pk)
