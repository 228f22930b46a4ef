"""The forms of accounts and their keys."""

import json
from collections.abc import Mapping
from typing import Any

from django import forms

from pipeline.providers.comfyworkflow import workflow_faults
from pipeline.providers.openai_prices import amount
from pipeline.services.accounts import API_KEY, config_faults
from pipeline.services.health import known_codes
from projects.models import ProviderAccount
from projects.services.accounts import LARGEST_CONFIG, LARGEST_LIMIT, LONGEST
from projects.services.secrets import LONGEST_VALUE
from projects.texts import LONGEST_NAME

TEXTS = ("model", "size", "quality")  # of the configuration, which have a field of their own
FIELDS = (*TEXTS, "timeout", "prices", "workflow")


def _limit(label: str, help_text: str) -> forms.IntegerField:
    return forms.IntegerField(
        label=label, required=False, min_value=1, max_value=LARGEST_LIMIT, help_text=help_text
    )


class AccountForm(forms.Form):
    """One account: where it is, what it is asked for, how much it bears and what it costs."""

    provider_code = forms.ChoiceField(label="Provider")
    display_name = forms.CharField(
        label="Name", required=False, max_length=LONGEST["display_name"], help_text="What your team calls it."
    )
    base_url = forms.CharField(
        label="Address",
        required=False,
        max_length=LONGEST["base_url"],
        help_text="Of a compatible server of your own, with https://. Blank: the provider’s.",
    )
    enabled = forms.BooleanField(label="It may be called", required=False, initial=True)
    max_concurrency = _limit("Calls at once", "Blank: no limit.")
    requests_per_minute = _limit("Calls a minute", "Blank: no limit.")
    price = forms.DecimalField(
        label="Price of an image, USD",
        required=False,
        min_value=0,
        max_digits=12,
        decimal_places=6,
        help_text="Blank: what the price list says.",
    )
    model = forms.CharField(required=False, max_length=200)
    size = forms.CharField(required=False, max_length=200, help_text="As 1024x1536.")
    quality = forms.CharField(required=False, max_length=200, help_text="As low, medium or high.")
    timeout = forms.IntegerField(
        label="Seconds to wait for an image", required=False, min_value=1, max_value=86_400
    )
    workflow = forms.FileField(
        label="Workflow for ComfyUI",
        required=False,
        help_text="What its “Export (API)” writes, with {scene}, {seed}, and if you like {prompt} and "
        "{reference_1} in place of values. Left out: the one that is there stays.",
    )
    more = forms.CharField(
        label="Further configuration",
        required=False,
        max_length=LARGEST_CONFIG,
        widget=forms.Textarea(attrs={"rows": 4, "class": "code", "spellcheck": "false"}),
        help_text="A JSON object for what has no field here. A key is no part of it: keys are secrets.",
    )

    def __init__(self, *args: Any, account: ProviderAccount | None, **kwargs: Any) -> None:
        self.stored = account.config if account and isinstance(account.config, dict) else {}
        kwargs["initial"] = _initial(account)
        super().__init__(*args, **kwargs)
        if account is not None:
            del self.fields["provider_code"]
        else:
            self.fields["provider_code"].choices = [(code, code) for code in known_codes()]  # type: ignore[attr-defined]

    def clean_workflow(self) -> dict[str, object] | None:
        """The workflow of the file, or else the stored one."""
        file = self.cleaned_data.get("workflow")
        if file is None:
            stored: dict[str, object] | None = self.stored.get("workflow")
            return stored
        if file.size > LARGEST_CONFIG:
            raise forms.ValidationError(f"The file has {file.size} bytes: use at most {LARGEST_CONFIG}")
        try:
            workflow = json.loads(file.read().decode("utf-8-sig"))
        except (ValueError, RecursionError) as error:
            raise forms.ValidationError(f"The file is no JSON: {error}") from None
        if faults := workflow_faults(workflow):
            raise forms.ValidationError(faults)
        return dict(workflow)

    def clean_more(self) -> dict[str, object]:
        """A JSON object; '' is an empty one."""
        text = self.cleaned_data["more"].strip()
        try:
            more = json.loads(text) if text else {}
        except (ValueError, RecursionError) as error:
            raise forms.ValidationError(f"This is no JSON: {error}") from None
        if not isinstance(more, dict):
            raise forms.ValidationError("Write a JSON object: { … }")
        if own := sorted(set(more) & {*TEXTS, "timeout", "workflow"}):
            raise forms.ValidationError(f"{', '.join(own)}: use the field above")
        return more

    def clean(self) -> dict[str, Any]:
        """Everything at once, as the configuration has it."""
        data = super().clean() or self.cleaned_data
        if "more" in data:
            config = self._config(data)
            if faults := config_faults(config):
                self.add_error("more", "; ".join(faults))
            data["config"] = config
        return data

    def changes(self) -> dict[str, object]:
        """The fields of the account as the form has them."""
        data = self.cleaned_data
        names = ("display_name", "base_url", "enabled", "max_concurrency", "requests_per_minute", "config")
        return {name: data[name] for name in names}

    def _config(self, data: Mapping[str, Any]) -> dict[str, object]:
        config: dict[str, object] = dict(data["more"])
        config |= {name: data[name] for name in (*TEXTS, "workflow") if data.get(name)}
        if data.get("timeout"):
            config["timeout"] = data["timeout"]
        prices = config.get("prices", {})
        if data.get("price") is not None and isinstance(prices, dict):
            config["prices"] = {**prices, "per_image": str(data["price"])}
        return config


def _initial(account: ProviderAccount | None) -> dict[str, object]:
    if account is None:
        return {}
    config = account.config if isinstance(account.config, dict) else {}
    shown: dict[str, object] = {name: getattr(account, name) for name in (
        "display_name", "base_url", "enabled", "max_concurrency", "requests_per_minute"
    )}  # fmt: skip
    shown |= {name: config.get(name, "") for name in (*TEXTS, "timeout")}
    more = {name: value for name, value in config.items() if name not in FIELDS}
    prices = config.get("prices")
    if isinstance(prices, dict) and amount(prices.get("per_image")) is not None:
        shown["price"] = prices["per_image"]
        prices = {name: price for name, price in prices.items() if name != "per_image"}
    if prices:
        more["prices"] = prices
    shown["more"] = json.dumps(more, indent=2, ensure_ascii=False) if more else ""
    return shown


class SecretForm(forms.Form):
    """A value to be stored, in place of an earlier one."""

    provider_code = forms.CharField(
        label="Of",
        max_length=100,
        widget=forms.TextInput(attrs={"list": "codes", "autocomplete": "off"}),
        help_text="The provider, as openai, or s3 or agent_api.",
    )
    secret_name = forms.CharField(
        label="Name",
        max_length=LONGEST_NAME,
        initial=API_KEY,
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
    )
    secret_value = forms.CharField(
        label="Value",
        max_length=LONGEST_VALUE,
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password", "spellcheck": "false"}),
        help_text="It is encrypted, and nothing shows it again.",
    )
