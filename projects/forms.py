"""The forms of sign-in, universes, library, members, tokens and the audit trail."""

from datetime import UTC, date
from typing import Any

from django import forms
from django.contrib.auth.forms import AuthenticationForm, PasswordChangeForm, SetPasswordForm
from django.utils import timezone

from projects.access import Principal
from projects.models import ROLE_CHOICES, Character, Project, ReferenceSet, StyleGuide, User


class SigninForm(AuthenticationForm):
    """Name and password."""

    error_messages = {
        **AuthenticationForm.error_messages,
        "invalid_login": "This name and password do not belong together. Mind capital letters.",
    }


def password_form(user: User, data: Any = None, *, by_link: bool) -> "SetPasswordForm[User]":
    """To set a password; the one that is there must be given too, unless one came in by a link without it."""
    asks_for_old = user.has_usable_password() and not by_link
    return PasswordChangeForm(user, data) if asks_for_old else SetPasswordForm(user, data)


class ProjectForm(forms.ModelForm[Project]):
    """A new universe."""

    class Meta:
        model = Project
        fields = ["name", "description"]
        widgets = {"description": forms.Textarea(attrs={"rows": 4})}
        help_texts = {
            "name": "The title of the story or series. Its address in Kroma is made from it and stays.",
            "description": "For your team: what happens here, where it plays, what must never change.",
        }


class StyleGuideForm(forms.ModelForm[StyleGuide]):
    """How pictures are to look, in words."""

    class Meta:
        model = StyleGuide
        fields = ["name", "instructions", "notes"]
        widgets = {
            "instructions": forms.Textarea(attrs={"rows": 10}),
            "notes": forms.Textarea(attrs={"rows": 4}),
        }
        help_texts = {
            "instructions": "Goes into the prompt of each run that uses this guide: line, colour, light, "
            "what to avoid.",
            "notes": "For people only; never sent to a provider.",
        }


class CharacterForm(forms.ModelForm[Character]):
    """Somebody who must stay the same."""

    class Meta:
        model = Character
        fields = ["name", "description", "prompt_text"]
        labels = {"prompt_text": "In prompts"}
        widgets = {
            "description": forms.Textarea(attrs={"rows": 6}),
            "prompt_text": forms.Textarea(attrs={"rows": 4}),
        }
        help_texts = {
            "description": "Who this is, for people: age, bearing, clothes, what never changes.",
            "prompt_text": "The words that describe this character in a prompt, short and always the same.",
        }


class ReferenceSetForm(forms.ModelForm[ReferenceSet]):
    """Images that belong together."""

    class Meta:
        model = ReferenceSet
        fields = ["name", "description"]
        widgets = {"description": forms.Textarea(attrs={"rows": 3})}
        help_texts = {"name": "For example “Chapter 1 scenes” or “Ink style plates”."}


class MemberForm(forms.Form):
    """Somebody who is to join, by account name."""

    username = forms.CharField(
        max_length=150,
        widget=forms.TextInput(
            attrs={"autocomplete": "off", "autocapitalize": "none", "spellcheck": "false"}
        ),
    )
    role = forms.ChoiceField(choices=ROLE_CHOICES, initial="editor")

    def clean_username(self) -> str:
        """The name of an account that can sign in."""
        username = str(self.cleaned_data["username"])
        if not User.objects.filter(username=username, is_active=True).exists():
            raise forms.ValidationError(f"There is no active account named {username}")
        return username


class TokenForm(forms.Form):
    """A token that a person makes for a program."""

    label = forms.CharField(
        max_length=200,
        help_text="What it is for, so that you know later which one to revoke.",
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
    )
    project = forms.ModelChoiceField(
        Project.objects.none(), required=False, label="Universe", empty_label="All of mine"
    )
    role = forms.ChoiceField(
        choices=ROLE_CHOICES,
        label="Role at most",
        initial="editor",
        help_text="It never does more than you may do yourself.",
    )
    expires = forms.DateField(
        required=False,
        label="Last day",
        widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d"),
        help_text="It works until the end of this day in UTC; without one until you revoke it.",
    )

    def __init__(self, *args: Any, by: Principal, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        projects = Project.objects.visible_to(by).active().order_by("name")
        self.fields["project"].queryset = projects  # type: ignore[attr-defined]

    def clean_expires(self) -> date | None:
        """A day that is not over yet."""
        expires: date | None = self.cleaned_data["expires"]
        if expires is not None and expires < timezone.now().astimezone(UTC).date():
            raise forms.ValidationError("This day is over: the token would let nobody in")
        return expires


def _filter(label: str, example: str) -> forms.CharField:
    widget = forms.TextInput(attrs={"placeholder": example, "autocapitalize": "none", "spellcheck": "false"})
    return forms.CharField(required=False, max_length=200, label=label, widget=widget)


class TrailForm(forms.Form):
    """What of an audit trail is wanted; everything may be left out."""

    event = _filter("Event", "secret.upsert")
    actor = _filter("Who", "account name")
    subject = _filter("What", "run, or an id")
    since = forms.DateField(required=False, label="From", widget=forms.DateInput(attrs={"type": "date"}))
    until = forms.DateField(required=False, label="To", widget=forms.DateInput(attrs={"type": "date"}))
    before = forms.IntegerField(required=False, min_value=1, max_value=2**63 - 1, widget=forms.HiddenInput)
