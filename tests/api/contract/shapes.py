"""The objects of the contract (its section 6) as a table, and the check of a JSON value against it."""

import re
from collections.abc import Mapping

UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
SHA256 = re.compile(r"[0-9a-f]{64}")
# When a token ends: its own rendering, with a numeric offset.
EXPIRY = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?\+00:00")

Shape = Mapping[str, "str | Shape | list[Shape]"]

# id: a UUID; id-: one or ""; id0: one or null; at, at-, at0: the same for times; str0, int0: or null.
PROJECT_LIST_ITEM: Shape = {
    "id": "id", "slug": "str", "name": "str", "description": "str", "status": "str", "username": "str",
    "created_at": "at", "updated_at": "at",
}  # fmt: skip
PROJECT: Shape = {
    "id": "id", "slug": "str", "name": "str", "description": "str", "status": "str",
    "created_at": "at", "updated_at": "at",
}  # fmt: skip
PROJECT_REF: Shape = {"id": "id", "slug": "str", "name": "str"}
BOOTSTRAP_PROJECT: Shape = {"id": "id", "slug": "str", "name": "str", "description": "str"}
COUNTS: Shape = {"runs": "int", "jobs": "int", "assets": "int"}
STORAGE: Shape = {
    "local": {"base_dir": "str", "project_root": "str"},
    "s3": {
        "enabled": "bool", "bucket": "str", "prefix": "str", "region": "str", "profile": "str",
        "endpoint_url": "str",
    },
}  # fmt: skip
NEW_TOKEN: Shape = {
    "id": "id", "token": "str", "token_prefix": "str", "label": "str", "project_id": "id0",
    "created_at": "at", "expires_at": "expiry0",
}  # fmt: skip
TOKEN: Shape = {
    "id": "id", "user_id": "id", "project_id": "id0", "token_prefix": "str", "label": "str",
    "expires_at": "expiry0", "revoked_at": "at0", "last_used_at": "at0", "created_at": "at", "active": "bool",
}  # fmt: skip
RUN: Shape = {
    "id": "id", "project_id": "id", "run_mode": "str", "status": "str", "stage": "str", "time_of_day": "str",
    "weather": "str", "model_name": "str", "provider_code": "str", "settings_snapshot_json": "json",
    "started_at": "at-", "finished_at": "at-", "created_at": "at", "run_log_path": "str",
    "image_size": "str", "image_quality": "str",
}  # fmt: skip
CANDIDATE: Shape = {
    "id": "id", "job_id": "id", "candidate_index": "int", "status": "str", "output_asset_id": "id-",
    "final_asset_id": "id-", "output_path": "str", "final_output_path": "str", "rank_hard_failures": "int",
    "rank_soft_warnings": "int", "rank_avg_chroma_exceed": "float", "meta_json": "json", "created_at": "at",
}  # fmt: skip
JOB: Shape = {
    "id": "id", "run_id": "id", "job_key": "str", "status": "str", "prompt_text": "str",
    "selected_candidate_index": "int0", "final_asset_id": "id-", "final_output": "str", "meta_json": "json",
    "created_at": "at", "candidates": [CANDIDATE],
}  # fmt: skip
ASSET: Shape = {
    "id": "id", "project_id": "id", "kind": "str", "asset_kind": "str", "storage_uri": "str",
    "rel_path": "str", "storage_backend": "str", "mime_type": "str", "width": "int0", "height": "int0",
    "sha256": "str", "run_id": "id-", "job_id": "id-", "candidate_id": "id-", "metadata_json": "json",
    "created_at": "at",
}  # fmt: skip
ASSET_LINK: Shape = {
    "id": "id", "project_id": "id", "parent_asset_id": "id", "child_asset_id": "id", "link_type": "str",
    "created_at": "at", "updated_at": "at",
}  # fmt: skip
QUALITY_REPORT: Shape = {
    "id": "id", "project_id": "id", "run_id": "id-", "asset_id": "id-", "report_type": "str", "grade": "str",
    "hard_failures": "int", "soft_warnings": "int", "avg_chroma_exceed": "float", "summary_json": "json",
    "created_at": "at",
}  # fmt: skip
COST_EVENT: Shape = {
    "id": "id", "project_id": "id", "run_id": "id-", "job_id": "id-", "provider_code": "str",
    "model_name": "str", "event_type": "str", "units": "float", "unit_cost_usd": "float",
    "total_cost_usd": "float", "currency": "str", "meta_json": "json", "created_at": "at",
}  # fmt: skip
EXPORT: Shape = {
    "id": "id", "project_id": "id", "run_id": "id-", "status": "str", "export_format": "str",
    "storage_uri": "str", "rel_path": "str", "file_size_bytes": "int", "checksum_sha256": "str",
    "manifest_json": "json", "created_at": "at", "completed_at": "at-",
}  # fmt: skip
PROMPT_TEMPLATE: Shape = {
    "id": "id", "project_id": "id", "name": "str", "template_text": "str", "created_at": "at",
    "updated_at": "at",
}  # fmt: skip
PROVIDER_ACCOUNT: Shape = {
    "project_id": "id", "provider_code": "str", "display_name": "str", "account_ref": "str",
    "base_url": "str", "enabled": "bool", "config_json": "json", "created_at": "at", "updated_at": "at",
}  # fmt: skip
STYLE_GUIDE: Shape = {
    "id": "id", "project_id": "id", "name": "str", "instructions": "str", "notes": "str",
    "created_at": "at", "updated_at": "at",
}  # fmt: skip
CHARACTER: Shape = {
    "id": "id", "project_id": "id", "name": "str", "description": "str", "prompt_text": "str",
    "created_at": "at", "updated_at": "at",
}  # fmt: skip
REFERENCE_SET: Shape = {
    "id": "id", "project_id": "id", "name": "str", "description": "str", "created_at": "at",
    "updated_at": "at",
}  # fmt: skip
REFERENCE_ITEM: Shape = {
    "id": "id", "project_id": "id", "reference_set_id": "id", "label": "str", "content_uri": "str",
    "content_text": "str", "sort_order": "int", "metadata_json": "json", "created_at": "at",
    "updated_at": "at",
}  # fmt: skip
CHAT_SESSION: Shape = {
    "id": "id", "project_id": "id", "title": "str", "status": "str", "created_at": "at", "updated_at": "at",
}  # fmt: skip
CHAT_MESSAGE: Shape = {
    "id": "id", "project_id": "id", "session_id": "id", "role": "str", "content": "str", "created_at": "at",
}  # fmt: skip
INSTRUCTION: Shape = {
    "id": "id", "project_id": "id", "instruction_text": "str", "status": "str", "created_at": "at",
    "updated_at": "at", "confirmed_at": "at-", "canceled_at": "at-",
}  # fmt: skip
INSTRUCTION_EVENT: Shape = {
    "id": "id", "project_id": "id", "instruction_id": "id", "event_type": "str", "message": "str",
    "created_at": "at",
}  # fmt: skip
SECRET: Shape = {
    "project_id": "id", "provider_code": "str", "secret_name": "str", "has_value": "bool", "updated_at": "at",
}  # fmt: skip
SECRET_STATUS: Shape = {
    "total": "int", "encrypted": "int", "plaintext": "int", "empty": "int",
    "key_refs": [{"key_ref": "str", "count": "int"}],
}  # fmt: skip
ROTATION: Shape = {
    "scanned": "int", "rotated": "int", "skipped_empty": "int", "skipped_current_key_ref": "int",
    "plaintext_reencrypted": "int",
}  # fmt: skip


def faults(value: object, shape: Shape, where: str = "") -> list[str]:
    """Where a JSON object lacks a documented field or holds another type. Additional fields are fine."""
    if not isinstance(value, dict):
        return [f"{where or 'the value'} is no object: {value!r}"]
    found: list[str] = []
    for name, wanted in shape.items():
        path = f"{where}.{name}".lstrip(".")
        if name not in value:
            found.append(f"{path} is absent")
        elif isinstance(wanted, list):
            rows = value[name]
            if not isinstance(rows, list):
                found.append(f"{path} is no list: {rows!r}")
                continue
            for n, row in enumerate(rows):
                found += faults(row, wanted[0], f"{path}[{n}]")
        elif isinstance(wanted, str):
            if not _is(value[name], wanted):
                found.append(f"{path} is no {wanted}: {value[name]!r}")
        else:
            found += faults(value[name], wanted, path)
    return found


def _is(value: object, wanted: str) -> bool:
    if wanted.endswith("0"):
        return value is None or _is(value, wanted[:-1])
    if wanted.endswith("-"):
        return value == "" or _is(value, wanted[:-1])
    patterns = {"id": UUID, "at": MOMENT, "expiry": EXPIRY}
    if wanted in patterns:
        return isinstance(value, str) and patterns[wanted].fullmatch(value) is not None
    if wanted == "json":
        return value is not None
    # bool is an int to isinstance(), but not in JSON
    return type(value) is {"str": str, "int": int, "bool": bool, "float": float}[wanted]
