"""The operator's window on runs, files and money. Nothing is changed here."""

from django.contrib import admin
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from pipeline.models import (
    AgentInstruction,
    AgentInstructionEvent,
    Asset,
    AssetLink,
    Attempt,
    Candidate,
    ChatMessage,
    ChatSession,
    CostEvent,
    Export,
    QualityReport,
    Review,
    Run,
    RunJob,
)
from projects.admin import Window, WindowInline


def thumbnail(asset: Asset | None) -> SafeString:
    """The small picture of a file; the pages' own rule decides whether the reader may see it."""
    if asset is None or not asset.sha256:
        return format_html("{}", "—")
    url = reverse("pipeline:asset-thumb", args=[asset.project.slug, asset.pk])
    return format_html('<img src="{}" alt="{}" height="80" loading="lazy">', url, asset.rel_path)


class JobInline(WindowInline):
    model = RunJob
    fields = ["position", "job_key", "label", "status", "selected_candidate_index", "verdict"]


@admin.register(Run)
class RunAdmin(Window):
    list_display = ["id", "project", "run_mode", "status", "stage", "provider_code", "n_jobs", "created_at"]
    list_filter = ["status", "run_mode", "stage", "provider_code", "created_at"]
    search_fields = ["id", "project__name", "project__slug", "plan_hash", "run_log_path"]
    list_select_related = ["project"]
    inlines = [JobInline]


class CandidateInline(WindowInline):
    model = Candidate
    fields = ["candidate_index", "status", "picture", "rank_reason", "finished_at"]
    readonly_fields = ["picture"]

    def picture(self, candidate: Candidate) -> SafeString:
        return thumbnail(candidate.output_asset)


class ReviewInline(WindowInline):
    model = Review
    fields = ["verdict", "candidate", "note", "reviewer", "created_at"]
    readonly_fields = ["created_at"]


@admin.register(RunJob)
class RunJobAdmin(Window):
    list_display = ["job_key", "label", "run", "status", "verdict", "finished_at"]
    list_filter = ["status", "verdict"]
    search_fields = ["job_key", "label", "run__project__name", "run__id"]
    list_select_related = ["run"]
    inlines = [CandidateInline, ReviewInline]


class AttemptInline(WindowInline):
    model = Attempt
    fields = [
        "number",
        "step",
        "status",
        "provider_code",
        "cost_usd",
        "error_message",
        "started_at",
        "finished_at",
    ]
    readonly_fields = ["started_at"]


@admin.register(Candidate)
class CandidateAdmin(Window):
    list_display = ["picture", "job", "candidate_index", "status", "lease_until", "finished_at"]
    list_filter = ["status"]
    search_fields = ["job__job_key", "run__id", "original_sha256"]
    list_select_related = ["job", "output_asset__project"]
    readonly_fields = ["picture"]
    inlines = [AttemptInline]

    def picture(self, candidate: Candidate) -> SafeString:
        return thumbnail(candidate.output_asset)


@admin.register(Attempt)
class AttemptAdmin(Window):
    list_display = [
        "started_at",
        "project",
        "provider_code",
        "step",
        "number",
        "status",
        "cost_usd",
        "error_code",
    ]
    list_filter = ["status", "provider_code", "billed", "started_at"]
    search_fields = ["project__name", "run__id", "request_id", "error_message"]
    list_select_related = ["project"]


@admin.register(Asset)
class AssetAdmin(Window):
    list_display = ["picture", "rel_path", "project", "kind", "width", "height", "n_bytes", "created_at"]
    list_filter = ["kind", "mime_type", "created_at"]
    search_fields = ["rel_path", "sha256", "project__name", "run__id"]
    list_select_related = ["project"]
    readonly_fields = ["picture"]

    def picture(self, asset: Asset) -> SafeString:
        return thumbnail(asset)


@admin.register(QualityReport)
class QualityReportAdmin(Window):
    list_display = ["created_at", "project", "report_type", "grade", "hard_failures", "soft_warnings"]
    list_filter = ["report_type", "grade", "created_at"]
    search_fields = ["project__name", "run__id"]
    list_select_related = ["project"]


@admin.register(CostEvent)
class CostEventAdmin(Window):
    list_display = ["created_at", "project", "provider_code", "model_name", "event_type", "total_cost_usd"]
    list_filter = ["provider_code", "event_type", "created_at"]
    search_fields = ["project__name", "run__id", "model_name"]
    list_select_related = ["project"]


@admin.register(Review)
class ReviewAdmin(Window):
    list_display = ["created_at", "project", "job", "verdict", "reviewer", "note"]
    list_filter = ["verdict", "created_at"]
    search_fields = ["project__name", "job__job_key", "note", "reviewer__username"]
    list_select_related = ["project", "job", "reviewer"]


@admin.register(Export)
class ExportAdmin(Window):
    list_display = ["created_at", "project", "export_format", "status", "n_bytes"]
    list_filter = ["status", "export_format"]
    search_fields = ["project__name", "rel_path", "checksum_sha256"]
    list_select_related = ["project"]


class MessageInline(WindowInline):
    model = ChatMessage


@admin.register(ChatSession)
class ChatSessionAdmin(Window):
    list_display = ["title", "project", "status", "updated_at"]
    search_fields = ["title", "project__name"]
    list_select_related = ["project"]
    inlines = [MessageInline]


class InstructionEventInline(WindowInline):
    model = AgentInstructionEvent


@admin.register(AgentInstruction)
class AgentInstructionAdmin(Window):
    list_display = ["instruction_text", "project", "status", "updated_at"]
    list_filter = ["status"]
    search_fields = ["instruction_text", "project__name"]
    list_select_related = ["project"]
    inlines = [InstructionEventInline]


@admin.register(AssetLink)
class AssetLinkAdmin(Window):
    list_display = ["link_type", "parent", "child", "project", "created_at"]
    list_filter = ["link_type"]
    search_fields = ["parent__rel_path", "child__rel_path"]
    list_select_related = ["project", "parent", "child"]
