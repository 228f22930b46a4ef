from django.urls import path

from pipeline.views import accounts, compose, control, files, overview, references, review, runs, settings

app_name = "pipeline"
urlpatterns = [
    path("", overview.project_list, name="project-list"),
    path("projects/<slug:slug>/", overview.dashboard, name="dashboard"),
    path("projects/<slug:slug>/sets/<uuid:pk>", references.reference_set, name="reference-set"),
    path("projects/<slug:slug>/sets/<uuid:pk>/upload", references.reference_upload, name="reference-upload"),
    path("projects/<slug:slug>/items/<uuid:pk>/remove", references.item_remove, name="reference-item-remove"),
    path("projects/<slug:slug>/items/<uuid:pk>/file", files.reference_item_file, name="reference-item-file"),
    path(
        "projects/<slug:slug>/items/<uuid:pk>/thumb", files.reference_item_thumb, name="reference-item-thumb"
    ),
    path("projects/<slug:slug>/assets/<uuid:pk>/file", files.asset_file, name="asset-file"),
    path("projects/<slug:slug>/assets/<uuid:pk>/thumb", files.asset_thumb, name="asset-thumb"),
    path("projects/<slug:slug>/jobs/<uuid:pk>/scene", files.scene_file, name="scene-file"),
    path("projects/<slug:slug>/jobs/<uuid:pk>/scene/thumb", files.scene_thumb, name="scene-thumb"),
    path("projects/<slug:slug>/jobs/<uuid:pk>/review", review.review_say, name="review-say"),
    path("projects/<slug:slug>/runs", runs.run_list, name="run-list"),
    path("projects/<slug:slug>/runs/new", compose.run_new, name="run-new"),
    path("projects/<slug:slug>/runs/plan", compose.run_plan, name="run-plan"),
    path("projects/<slug:slug>/runs/<uuid:pk>", runs.run, name="run"),
    path("projects/<slug:slug>/runs/<uuid:pk>/winners", runs.run_winners, name="run-winners"),
    path("projects/<slug:slug>/runs/<uuid:pk>/cancel", control.run_cancel, name="run-cancel"),
    path("projects/<slug:slug>/runs/<uuid:pk>/pause", control.run_pause, name="run-pause"),
    path("projects/<slug:slug>/runs/<uuid:pk>/resume", control.run_resume, name="run-resume"),
    path("projects/<slug:slug>/runs/<uuid:pk>/retry", control.run_retry, name="run-retry"),
    path("projects/<slug:slug>/attempts/<uuid:pk>/lost", control.attempt_lost, name="attempt-lost"),
    path("projects/<slug:slug>/attempts/<uuid:pk>/arrived", control.attempt_arrived, name="attempt-arrived"),
    path("projects/<slug:slug>/runs/<uuid:pk>/log", files.run_log, name="run-log"),
    path("projects/<slug:slug>/runs/<uuid:pk>/review", review.run_review, name="run-review"),
    path("projects/<slug:slug>/review", review.review, name="review"),
    path("projects/<slug:slug>/settings", settings.settings, name="settings"),
    path("projects/<slug:slug>/settings/budget", settings.settings_budget, name="settings-budget"),
    path("projects/<slug:slug>/settings/accounts", accounts.accounts, name="accounts"),
    path("projects/<slug:slug>/settings/accounts/new", accounts.account_new, name="account-new"),
    path("projects/<slug:slug>/settings/accounts/of/<slug:code>", accounts.account_edit, name="account-edit"),
    path(
        "projects/<slug:slug>/settings/accounts/of/<slug:code>/check",
        accounts.account_check,
        name="account-check",
    ),
    path("projects/<slug:slug>/settings/secrets/set", accounts.secret_set, name="secret-set"),
    path("projects/<slug:slug>/settings/secrets/delete", accounts.secret_delete, name="secret-delete"),
    path("projects/<slug:slug>/settings/secrets/rotate", accounts.secrets_rotate, name="secrets-rotate"),
]
