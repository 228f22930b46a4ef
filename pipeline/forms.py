"""The forms of runs and reviews."""

from collections.abc import Mapping
from typing import Any

from django import forms

from pipeline.engine.names import FIDELITIES, STAGES, TIMES, WEATHERS
from pipeline.engine.settings import BG_BACKENDS, UPSCALE_BACKENDS, SettingsLayer
from pipeline.engine.trigger import CANDIDATES_ASKED, LARGEST_SEED, PROVIDER_OPTIONS, TriggerRequest
from pipeline.providers.registry import provider_codes
from pipeline.services.configuration import Configuration
from pipeline.services.planning import InputImage
from projects.models import Project, ReferenceItem, ReferenceSet, StyleGuide

Sets = list[tuple[ReferenceSet, list[ReferenceItem]]]

STAGE_WORDS = {
    "style": "Style: redraw the scenes in the hand of the references",
    "time": "Time of day: the same scenes by day or night",
    "weather": "Weather: the same scenes, clear or in rain",
}
SWITCHES = ("bg_remove", "bg_refine_openai", "bg_refine_openai_required", "upscale", "color")
SWITCHED = {"": None, "on": True, "off": False}


def _switch(label: str, help_text: str = "") -> forms.ChoiceField:
    """On, off, or as the settings say; the form fills in what that is."""
    return forms.ChoiceField(required=False, label=label, help_text=help_text)


def _amount(label: str) -> forms.DecimalField:
    return forms.DecimalField(
        label=f"{label}, USD", required=False, min_value=0, max_digits=15, decimal_places=6
    )


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
    provider_code = forms.ChoiceField(
        required=False, label="Made by", help_text="What it does and can't do stands in the plan."
    )
    model = forms.CharField(required=False, max_length=PROVIDER_OPTIONS["model"])
    size = forms.CharField(required=False, max_length=PROVIDER_OPTIONS["size"], help_text="As 1024x1536.")
    quality = forms.CharField(
        required=False, max_length=PROVIDER_OPTIONS["quality"], help_text="As low, medium or high."
    )
    input_fidelity = forms.ChoiceField(
        choices=[("", "as the account says"), *((word, word) for word in FIDELITIES)],
        required=False,
        label="Fidelity to the input images",
    )
    candidates = forms.TypedChoiceField(
        choices=[(n, str(n)) for n in range(1, CANDIDATES_ASKED + 1)],
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

    bg_remove = _switch("Cut out of the background")
    bg_remove_backends = forms.MultipleChoiceField(
        choices=[(name, name) for name in BG_BACKENDS],
        required=False,
        label="Cut-out by",
        widget=forms.CheckboxSelectMultiple,
    )
    bg_refine_openai = _switch("Refine the cut-out", "One more paid call for each image.")
    bg_refine_openai_required = _switch(
        "The refinement must succeed", "Else the image keeps the cut-out as it was."
    )
    upscale = _switch("Upscale")
    upscale_backend = forms.ChoiceField(required=False, label="Upscaled by")
    color = _switch("Colour")
    color_profile = forms.ChoiceField(required=False, label="Colour profile")

    def __init__(self, project: Project, configuration: Configuration, *args: Any, **kwargs: Any) -> None:
        """`configuration` is that of the files alone, which the form shows as what the settings say."""
        super().__init__(*args, **kwargs)
        self._offer(configuration)
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

    def asked(self, sets: Sets, *, mode: str) -> tuple[TriggerRequest, dict[str, InputImage]]:
        """The request of a valid form, and the images that its references stand for.

        `sets` are the sets of the project with their images, in order.
        """
        data = self.cleaned_data
        stage = str(data["stage"])
        scenes = _images(sets, data["scene_sets"], data["scenes"])
        styles = _images(sets, data["style_sets"], data["styles"])
        request = TriggerRequest(
            mode=mode,
            scene_refs=tuple(scenes),
            style_refs=tuple(styles) or None,
            stage=stage,
            time=data["time"] if stage != "style" else "",
            weather=data["weather"] if stage == "weather" else "",
            candidates=data["candidates"],
            postprocess=SettingsLayer(
                upscale=SWITCHED[data["upscale"]],
                color=SWITCHED[data["color"]],
                bg_remove=SWITCHED[data["bg_remove"]],
                bg_refine_openai=SWITCHED[data["bg_refine_openai"]],
                bg_refine_openai_required=SWITCHED[data["bg_refine_openai_required"]],
                upscale_backend=data["upscale_backend"] or None,
                color_profile=data["color_profile"] or None,
                bg_remove_backends=tuple(data["bg_remove_backends"]) or None,
            ),
            provider_code=data["provider_code"],
            provider_options={name: data[name] for name in PROVIDER_OPTIONS if data[name]},
            seed=data["seed"],
            storage_sync_s3=data.get("sync_s3", False),
            style_guide_id=str(data["style_guide"].pk) if data["style_guide"] else "",
        )
        return request, scenes | styles

    @property
    def options_chosen(self) -> bool:
        """Whether something is asked of the provider that its account does not say."""
        return any(self[name].value() for name in PROVIDER_OPTIONS)

    @property
    def steps_chosen(self) -> bool:
        """Whether something about the steps after generation differs from the settings."""
        names = (*SWITCHES, "bg_remove_backends", "upscale_backend", "color_profile")
        return any(self[name].value() for name in names)

    def _offer(self, configuration: Configuration) -> None:
        says = configuration.effective.values
        for name in SWITCHES:
            word = "on" if getattr(says, name) else "off"
            self._choices(name, f"as the settings say ({word})", {"on": "on", "off": "off"})
        self._choices("upscale_backend", f"as the settings say ({says.upscale_backend})", UPSCALE_BACKENDS)
        providers = {code: code for code in provider_codes()}
        self._choices("provider_code", f"as the settings say ({says.provider_code})", providers)
        profiles = {name: name for name in sorted(configuration.profiles)}
        self._choices("color_profile", f"as the settings say ({says.color_profile})", profiles)
        named = ", ".join(says.bg_remove_backends or ())
        self.fields[
            "bg_remove_backends"
        ].help_text = f"Tried in this order. None: as the settings say ({named})."

    def _choices(self, name: str, inherit: str, others: Mapping[str, str]) -> None:
        self.fields[name].choices = [("", inherit), *others.items()]  # type: ignore[attr-defined]


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


def _images(sets: Sets, whole: Any, single: Any) -> dict[str, InputImage]:
    """The images of whole sets and the single ones by path, in the order of the sets; one file once."""
    whole_pks = {found.pk for found in whole}
    single_pks = {item.pk for item in single}
    return {
        item.content_uri: InputImage.from_item(item)
        for found, items in sets
        for item in items
        if found.pk in whole_pks or item.pk in single_pks
    }


class BudgetForm(forms.Form):
    """How much a universe may spend, in USD; a blank field is no limit."""

    per_run = _amount("For one run")
    per_day = _amount("In a day (UTC)")
    per_month = _amount("In a month (UTC)")
