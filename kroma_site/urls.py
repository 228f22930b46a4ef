"""The root of all addresses."""

from django.contrib import admin
from django.urls import include, path

from kroma_site.health import health

urlpatterns = [
    path("health", health, name="health"),
    path("admin/", admin.site.urls),
    path("", include("projects.urls")),
    path("", include("pipeline.urls")),
]
