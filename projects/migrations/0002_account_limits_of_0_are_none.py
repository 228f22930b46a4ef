from django.db import migrations


def forget_zeros(apps, schema_editor):
    """A limit of 0 had no effect so far; from now on it would stop every call."""
    accounts = apps.get_model("projects", "ProviderAccount").objects
    accounts.filter(max_concurrency=0).update(max_concurrency=None)
    accounts.filter(requests_per_minute=0).update(requests_per_minute=None)


class Migration(migrations.Migration):

    dependencies = [
        ('projects', '0001_initial'),
    ]

    operations = [migrations.RunPython(forget_zeros, migrations.RunPython.noop)]
