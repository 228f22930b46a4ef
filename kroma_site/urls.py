"""The root of all addresses."""

from django.contrib import admin
from django.urls import include, path
from django.views.generic import RedirectView

from kroma_site import api

urlpatterns = [
    path("", api.urls),
    # One page sets passwords, and audits it: the admin has another.
    path("admin/password_change/", RedirectView.as_view(pattern_name="projects:password")),
    path("admin/", admin.site.urls),
    path("", include("projects.urls")),
    path("", include("pipeline.urls")),
]
