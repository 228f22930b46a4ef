from django.db import migrations
from django.db.models import F


def mark_done(apps, schema_editor):
    """Runs that ended before there was a step after the end of a run are not to get one now."""
    apps.get_model("pipeline", "Run").objects.filter(finished_at__isnull=False, post_run_at__isnull=True).update(
        post_run_at=F("finished_at")
    )


class Migration(migrations.Migration):

    dependencies = [
        ('pipeline', '0003_imports_reservations_and_retries'),
    ]

    operations = [migrations.RunPython(mark_done, migrations.RunPython.noop)]
