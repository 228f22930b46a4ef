"""The root of all addresses."""

from django.contrib import admin
from django.contrib.auth.decorators import login_not_required
from django.urls import include, path
from django.views.generic import RedirectView

from kroma_site import api

to_signin = RedirectView.as_view(pattern_name="projects:signin", query_string=True)
urlpatterns = [
    path("", api.urls),
    # One page lets people in and one sets passwords, both audited: the admin has others.
    path("admin/login/", login_not_required(to_signin)),
    path("admin/password_change/", RedirectView.as_view(pattern_name="projects:password")),
    path("admin/", admin.site.urls),
    path("", include("bootstrap.urls")),
    path("", include("projects.urls")),
    path("", include("pipeline.urls")),
]
