"""The forms of runs and reviews."""

from typing import Any

from django import forms

from pipeline.engine.names import STAGES, TIMES, WEATHERS
from pipeline.services.planning import InputImage, RunOrder
from projects.models import Project, ReferenceItem, ReferenceSet, StyleGuide

MAX_CANDIDATES = 6
STAGE_WORDS = {
    "style": "Style: redraw the scenes in the hand of the references",
    "time": "Time of day: the same scenes by day or night",
    "weather": "Weather: the same scenes, clear or in rain",
}
LARGEST_SEED = 2**63 - 1  # what the database holds


class RunForm(forms.Form):
    """What is to be made: the order of a run."""

    stage = forms.ChoiceField(
        choices=[(stage, STAGE_WORDS[stage]) for stage in STAGES], initial="style", widget=forms.RadioSelect
    )
    time = forms.ChoiceField(
        choices=[(time, time) for time in TIMES],
        initial="day",
        label="Time of day",
        widget=forms.RadioSelect,
    )
    weather = forms.ChoiceField(
        choices=[(weather, weather) for weather in WEATHERS],
        initial="clear",
        widget=forms.RadioSelect,
    )
    scene_sets = forms.ModelMultipleChoiceField(ReferenceSet.objects.none(), required=False)
    scenes = forms.ModelMultipleChoiceField(ReferenceItem.objects.none(), required=False)
    style_sets = forms.ModelMultipleChoiceField(ReferenceSet.objects.none(), required=False)
    styles = forms.ModelMultipleChoiceField(ReferenceItem.objects.none(), required=False)
    candidates = forms.TypedChoiceField(
        choices=[(n, str(n)) for n in range(1, MAX_CANDIDATES + 1)],
        coerce=int,
        initial=2,
        label="Candidates per panel",
        help_text="Variants that compete to be the panel.",
    )
    seed = forms.IntegerField(
        min_value=0,
        max_value=LARGEST_SEED,
        initial=0,
        help_text="The same seed makes the same pictures again; another one makes other variants.",
    )
    style_guide = forms.ModelChoiceField(
        StyleGuide.objects.none(), required=False, empty_label="None", help_text="Added to the prompt."
    )
    sync_s3 = forms.BooleanField(
        required=False,
        label="Send the files to S3 when it is done",
        help_text="What is new or changed in the whole universe, not in a dry run.",
    )

    def __init__(self, project: Project, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        images = ReferenceItem.objects.filter(project=project).exclude(content_uri="")
        querysets = {
            "scene_sets": project.reference_sets.all(),
            "style_sets": project.reference_sets.all(),
            "scenes": images,
            "styles": images,
            "style_guide": project.style_guides.order_by("name"),
        }
        for name, queryset in querysets.items():
            self.fields[name].queryset = queryset  # type: ignore[attr-defined]
        if not project.storage.s3_enabled:
            del self.fields["sync_s3"]

    def clean(self) -> dict[str, Any]:
        """At least one scene."""
        if not {"scene_sets", "scenes"} & self.errors.keys() and not (
            self.cleaned_data.get("scene_sets") or self.cleaned_data.get("scenes")
        ):
            self.add_error("scenes", "Choose at least one scene: a whole set, or single images of it.")
        return self.cleaned_data

    def order(self, sets: list[tuple[ReferenceSet, list[ReferenceItem]]], *, mode: str) -> RunOrder:
        """The order of a valid form; `sets` are the sets of the project with their images, in order."""
        data = self.cleaned_data
        stage = str(data["stage"])
        return RunOrder(
            mode=mode,
            scenes=_images(sets, data["scene_sets"], data["scenes"]),
            style_refs=_images(sets, data["style_sets"], data["styles"]),
            stage=stage,
            time=data["time"] if stage != "style" else None,
            weather=data["weather"] if stage == "weather" else None,
            candidates=data["candidates"],
            seed=data["seed"],
            style_guide=data["style_guide"],
            sync_s3=data.get("sync_s3", False),
        )


class ConfirmForm(forms.Form):
    """What a person saw and agreed to when they started a run."""

    plan_hash = forms.CharField(required=False, max_length=64)
    max_cost_usd = forms.DecimalField(required=False, min_value=0, max_digits=18, decimal_places=6)
    confirm_spend = forms.BooleanField(required=False)


class ReviewForm(forms.Form):
    """Something that a person says about a panel."""

    SAYINGS = ("approve", "reject", "pick", "reopen", "note")

    say = forms.ChoiceField(choices=[(word, word) for word in SAYINGS])
    note = forms.CharField(required=False, max_length=4000, strip=True)
    preset = forms.CharField(required=False, max_length=100, strip=True)
    candidate = forms.IntegerField(required=False, min_value=1)

    def reason(self) -> str:
        """The preset reason and the words that were typed, in one line."""
        return ": ".join(filter(None, [self.cleaned_data["preset"], self.cleaned_data["note"]]))


def _images(
    sets: list[tuple[ReferenceSet, list[ReferenceItem]]], whole: Any, single: Any
) -> tuple[InputImage, ...]:
    """The images of whole sets and the single ones, in the order of the sets; one file once."""
    whole_pks = {found.pk for found in whole}
    single_pks = {item.pk for item in single}
    chosen = {
        item.content_uri: InputImage.from_item(item)
        for found, items in sets
        for item in items
        if found.pk in whole_pks or item.pk in single_pks
    }
    return tuple(chosen.values())
