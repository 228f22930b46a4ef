from django.urls import path

from pipeline.views import overview

app_name = "pipeline"
urlpatterns = [
    path("", overview.project_list, name="project-list"),
    path("projects/<str:slug>/", overview.dashboard, name="dashboard"),
    # Addresses whose pages follow.
    path("projects/<str:slug>/runs", overview.dashboard, name="run-list"),
    path("projects/<str:slug>/runs/new", overview.dashboard, name="run-new"),
    path("projects/<str:slug>/runs/<uuid:pk>", overview.dashboard, name="run"),
    path("projects/<str:slug>/review", overview.dashboard, name="review"),
    path("projects/<str:slug>/reference-sets/<uuid:pk>", overview.dashboard, name="reference-set"),
    path("projects/<str:slug>/assets/<uuid:pk>/thumb", overview.dashboard, name="asset-thumb"),
    path("projects/<str:slug>/assets/<uuid:pk>", overview.dashboard, name="asset-file"),
]
