from django.apps import AppConfig


class KromaSiteConfig(AppConfig):
    name = "kroma_site"

    def ready(self) -> None:
        from kroma_site import checks  # noqa: F401, PLC0415 - registers them
