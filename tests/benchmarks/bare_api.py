"""Bare django-ninja routes that return bytes from memory: what the benchmark of the API is held against."""

import os
from pathlib import Path
from typing import Any, cast

import django
from django.conf import settings
from django.core.handlers.wsgi import WSGIHandler
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, path

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "kroma_site.settings")
settings.ROOT_URLCONF = "tests.benchmarks.bare_api"
if os.environ["KROMA_BENCH_MIDDLEWARE"] == "none":
    settings.MIDDLEWARE = []
django.setup(set_prefix=False)

from ninja import NinjaAPI  # noqa: E402 - it reads the settings

ANSWERS = {file.stem: file.read_bytes() for file in Path(os.environ["KROMA_BENCH_ANSWERS"]).glob("*.json")}

api = NinjaAPI(urls_namespace="bare", docs_url=None, openapi_url=None)


@api.get("/api/bare/{name}")
def answer(request: HttpRequest, name: str) -> HttpResponse:
    """The bytes of one answer."""
    return HttpResponse(ANSWERS[name], content_type="application/json; charset=utf-8")


patterns, app, namespace = api.urls
for pattern in patterns:
    if isinstance(pattern, URLPattern):
        cast(Any, pattern.callback).login_required = False
urlpatterns = [path("", (patterns, app, namespace))]
application = WSGIHandler()
