from django.urls import path

from bootstrap.views import exchange, history

app_name = "bootstrap"
urlpatterns = [
    path("projects/from-file", history.project_from_file, name="project-from-file"),
    path("projects/<slug:slug>/bootstrap", exchange.exchange, name="exchange"),
    path("projects/<slug:slug>/bootstrap/look", exchange.exchange_look, name="exchange-look"),
    path("projects/<slug:slug>/bootstrap/import", exchange.exchange_import, name="exchange-import"),
    path("projects/<slug:slug>/bootstrap/export", history.export, name="export"),
    path("projects/<slug:slug>/bootstrap/copy", history.copy, name="copy"),
    path("projects/<slug:slug>/bootstrap/history", history.history, name="history"),
    path("projects/<slug:slug>/bootstrap/compare", history.compare, name="compare"),
    path("projects/<slug:slug>/bootstrap/history/<uuid:pk>", history.snapshot, name="snapshot"),
    path(
        "projects/<slug:slug>/bootstrap/history/<uuid:pk>/restore",
        history.snapshot_restore,
        name="snapshot-restore",
    ),
    path(
        "projects/<slug:slug>/bootstrap/history/<uuid:pk>/export",
        history.snapshot_export,
        name="snapshot-export",
    ),
    path(
        "projects/<slug:slug>/bootstrap/history/<uuid:pk>/copy", history.snapshot_copy, name="snapshot-copy"
    ),
]
