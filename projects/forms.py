"""The forms of sign-in, universes, library and members."""

from typing import Any

from django import forms
from django.contrib.auth.forms import AuthenticationForm, PasswordChangeForm, SetPasswordForm

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
