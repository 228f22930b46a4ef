"""The continuity library: what keeps a series in one hand."""

import time
import uuid
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any, Self, TypeVar

from django.db import models
from django.urls import reverse
from django.utils import timezone

from projects.access import Principal
from projects.models.project import Project

UPLOADS = "references"  # the folder of uploaded images, below the project root

M = TypeVar("M", bound=models.Model)


class InProjectQuerySet(models.QuerySet[M]):
    """Rows that belong to a project directly."""

    def visible_to(self, principal: Principal) -> Self:
        """Rows of the projects that the principal is a member of."""
        return self.filter(project__in=Project.objects.visible_to(principal))


class LibraryEntry(models.Model):
    """A named thing in a project's library; the name is unique there."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    name = models.CharField(max_length=200)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        abstract = True
        ordering = ["-updated_at", "-id"]

    def __str__(self) -> str:
        return self.name


class StyleGuide(LibraryEntry):
    """How pictures of this universe are to look, in words."""

    project = models.ForeignKey(Project, models.CASCADE, related_name="style_guides")
    instructions = models.TextField(blank=True)
    notes = models.TextField(blank=True)
    objects = InProjectQuerySet["StyleGuide"].as_manager()

    class Meta(LibraryEntry.Meta):
        constraints = [models.UniqueConstraint(fields=["project", "name"], name="style_guide_name_once")]


class Character(LibraryEntry):
    """Somebody whose face and figure must stay the same."""

    project = models.ForeignKey(Project, models.CASCADE, related_name="characters")
    description = models.TextField(blank=True)
    prompt_text = models.TextField(blank=True)
    objects = InProjectQuerySet["Character"].as_manager()

    class Meta(LibraryEntry.Meta):
        constraints = [models.UniqueConstraint(fields=["project", "name"], name="character_name_once")]


class PromptTemplate(LibraryEntry):
    """A text that is used again and again."""

    project = models.ForeignKey(Project, models.CASCADE, related_name="prompt_templates")
    template_text = models.TextField(blank=True)
    objects = InProjectQuerySet["PromptTemplate"].as_manager()

    class Meta(LibraryEntry.Meta):
        constraints = [models.UniqueConstraint(fields=["project", "name"], name="prompt_template_name_once")]


class ReferenceSet(LibraryEntry):
    """Images that belong together: the scenes of a chapter, the plates of a style."""

    project = models.ForeignKey(Project, models.CASCADE, related_name="reference_sets")
    description = models.TextField(blank=True)
    objects = InProjectQuerySet["ReferenceSet"].as_manager()

    class Meta(LibraryEntry.Meta):
        constraints = [models.UniqueConstraint(fields=["project", "name"], name="reference_set_name_once")]

    def get_absolute_url(self) -> str:
        return reverse("pipeline:reference-set", args=[self.project.slug, self.pk])


class ReferenceItem(models.Model):
    """One image (or text) of a set. `content_uri` is relative to the project root.

    `metadata` is any JSON: of an uploaded image it holds `sha256`, `mime_type`, `width`, `height` (pixels)
    and `bytes`, of any other item what a program chose to keep there. Pages and plans go by `facts`.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    project = models.ForeignKey(Project, models.CASCADE, related_name="reference_items")
    reference_set = models.ForeignKey(ReferenceSet, models.CASCADE, related_name="items")
    label = models.CharField(max_length=300)
    content_uri = models.CharField(max_length=1000, blank=True)
    content_text = models.TextField(blank=True)
    sort_order = models.IntegerField(default=0)
    # Keeps the order in which items came, for those with the same `sort_order`. Nanoseconds, as rows that are
    # written together may share the microsecond of `created_at`.
    position = models.BigIntegerField(default=time.time_ns, editable=False)
    metadata = models.JSONField(default=dict, blank=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    updated_at = models.DateTimeField(auto_now=True)
    objects = InProjectQuerySet["ReferenceItem"].as_manager()

    class Meta:
        ordering = ["sort_order", "position", "id"]

    def __str__(self) -> str:
        return self.label

    @property
    def facts(self) -> Mapping[str, Any]:
        """The metadata of an image that was uploaded here; empty where a program named the file.

        An upload lies under its own hash. Any other claim about a file is not believed: it would stand in a
        run's record, name another image's thumbnail, or be kept by browsers for good.
        """
        uploaded = PurePosixPath(self.content_uri)
        if not isinstance(self.metadata, dict) or str(uploaded.parent) != UPLOADS:
            return {}
        return self.metadata if self.metadata.get("sha256") == uploaded.stem else {}
