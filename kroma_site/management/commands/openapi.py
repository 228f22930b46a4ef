import json
from typing import Any

from django.core.management.base import BaseCommand


class Command(BaseCommand):
    help = "Print the OpenAPI document of the JSON API."

    def handle(self, **options: Any) -> None:
        from kroma_site.api import api  # noqa: PLC0415 - the API needs the apps

        self.stdout.write(json.dumps(api.get_openapi_schema(), indent=2, ensure_ascii=False))
