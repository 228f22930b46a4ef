"""The forms of the exchange."""

from typing import Any

from django import forms
from django.core.files.uploadedfile import UploadedFile

from bootstrap.entries import SECTIONS
from bootstrap.files import LONGEST_FILE
from bootstrap.parse import LONGEST
from bootstrap.prompt import LONGEST_BRIEF
from projects.texts import LONGEST_NAME

Uploaded = UploadedFile[bytes]
MODES = (
    ("merge", "Merge: add what is new, update what is named, delete nothing"),
    ("replace", "Replace: sections in the answer lose every entry that it does not name"),
)


class BriefForm(forms.Form):
    """What the person wants, for the prompt."""

    brief = forms.CharField(
        label="Your story, or what should change",
        required=False,
        max_length=LONGEST_BRIEF,
        widget=forms.Textarea(attrs={"rows": 5}),
        help_text="It gets a marked place in the prompt. In any language.",
    )


class AnswerForm(forms.Form):
    """An assistant's answer, how it is to be taken in, and what of it is left out."""

    text = forms.CharField(
        label="The answer",
        required=False,
        strip=False,
        widget=forms.Textarea(attrs={"rows": 14, "spellcheck": "false", "class": "code answer-text"}),
    )
    file = forms.FileField(label="… or a file with it", required=False)
    mode = forms.ChoiceField(
        label="How it is taken in", choices=MODES, initial="merge", widget=forms.RadioSelect
    )
    seen = forms.CharField(required=False, widget=forms.HiddenInput)
    fingerprint = forms.CharField(required=False, widget=forms.HiddenInput)

    def clean_file(self) -> Uploaded | None:
        """A file that is not larger than an answer may be."""
        file: Uploaded | None = self.cleaned_data.get("file")
        if file is not None and (file.size or 0) > LONGEST:
            raise forms.ValidationError(f"The file has {file.size} bytes: use at most {LONGEST}")
        return file

    def clean(self) -> dict[str, Any]:
        """The text, with one kind of line break; of a file if none was pasted."""
        data = super().clean() or self.cleaned_data
        text = str(data.get("text") or "")
        file = data.get("file")
        if not text.strip() and file is not None:
            try:
                text = file.read().decode("utf-8-sig")
            except UnicodeDecodeError:
                self.add_error("file", "The file is no text in UTF-8: save it as such")
        data["text"] = text.replace("\r\n", "\n")
        return data

    @property
    def left_out(self) -> frozenset[tuple[str, str]]:
        """The entries that were left out, as (section, key text)."""
        given = self.data.getlist("left_out") if hasattr(self.data, "getlist") else ()
        pairs = (tuple(one.split(":", 1)) for one in given if ":" in one)
        return frozenset((part, key) for part, key in pairs if part in ("project", *SECTIONS))


class CopyForm(forms.Form):
    """A new universe that begins with settings that exist."""

    name = forms.CharField(max_length=LONGEST_NAME, label="Name of the new universe")


class FileForm(CopyForm):
    """… with the settings in a file."""

    file = forms.FileField(
        help_text="What “Save as a file” or <code>manage.py universe export</code> wrote, or a saved answer."
    )

    def clean_file(self) -> Uploaded:
        """A file that is not larger than an answer may be."""
        file: Uploaded = self.cleaned_data["file"]
        if (file.size or 0) > LONGEST_FILE:
            raise forms.ValidationError(f"The file has {file.size} bytes: use at most {LONGEST_FILE}")
        return file


class CompareForm(forms.Form):
    """Two states of the settings; `now` is the present one."""

    def __init__(self, *args: Any, known: list[str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        choices = [("now", "now"), *((pk, pk) for pk in known)]
        self.fields["before"] = forms.ChoiceField(choices=choices)
        self.fields["after"] = forms.ChoiceField(choices=choices)
