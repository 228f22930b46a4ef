"""The root of all addresses."""

from django.contrib import admin
from django.urls import include, path

from kroma_site import api

urlpatterns = [
    path("", api.urls),
    path("admin/", admin.site.urls),
    path("", include("projects.urls")),
    path("", include("pipeline.urls")),
]
