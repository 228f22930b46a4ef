"""The colour profiles of a universe, each to be looked at on its own pictures."""

from dataclasses import fields

from django.http import Http404, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from pipeline.engine.colour import ColourProfile
from pipeline.services.colourpreview import as_png, pictures, previewed
from pipeline.services.configuration import Configuration, load
from pipeline.views.tones import tone_lines
from projects.access import Action, PageRequest, project_page
from projects.errors import NotFound
from projects.models import Project

PLAIN = ColourProfile()


@require_safe
@project_page(Action.READ)
def colours(request: PageRequest, project: Project) -> HttpResponse:
    """All profiles with their factors, and one of them on one picture: `?profile=`, `?of=`."""
    configuration = load(project)
    offered = pictures(project)
    key = request.GET.get("of") or offered[0].key
    name, profile = _chosen(configuration, request.GET.get("profile", ""))
    context = {
        "project": project,
        "section": "settings",
        "pictures": offered,
        "of": key,
        "profiles": [(one, _factors(values)) for one, values in configuration.profiles.items()],
        "chosen": name,
        "in_use": configuration.effective.values.color_profile,
        "errors": configuration.errors,
    }
    if profile is not None:
        try:
            preview = previewed(project, key, name, profile)
        except NotFound as error:
            context["missing"] = str(error)
        else:
            context["tones"] = {part: tone_lines(found) for part, found in preview.tones.items()}
    return render(request, "pipeline/colours.html", context)


@require_safe
@project_page(Action.READ)
def colour_picture(request: PageRequest, project: Project) -> HttpResponse:
    """The picture `?of=` before (`?part=before`) or after the profile `?profile=`."""
    name, profile = _chosen(load(project), request.GET.get("profile", ""))
    if profile is None:
        raise Http404("No such profile")
    key = request.GET.get("of") or pictures(project)[0].key
    preview = previewed(project, key, name, profile)
    shown = preview.before if request.GET.get("part") == "before" else preview.after
    # Not kept: the profile of this name may be another one the next time.
    return HttpResponse(as_png(shown), content_type="image/png", headers={"Cache-Control": "no-store"})


def _chosen(configuration: Configuration, name: str) -> tuple[str, ColourProfile | None]:
    """The profile of this name, or else the one in use, or else the first."""
    profiles = configuration.profiles
    for one in (name, str(configuration.effective.values.color_profile), *profiles):
        if one in profiles:
            return one, profiles[one]
    return "", None


def _factors(profile: ColourProfile) -> list[tuple[str, float]]:
    """What a profile changes, in words."""
    return [
        (field.name.replace("_", " "), value)
        for field in fields(profile)
        if (value := getattr(profile, field.name)) != getattr(PLAIN, field.name)
    ]
