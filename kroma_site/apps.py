from django.apps import AppConfig


class KromaSiteConfig(AppConfig):
    name = "kroma_site"
