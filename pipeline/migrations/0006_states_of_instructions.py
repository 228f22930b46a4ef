from django.db import migrations
from django.utils import timezone

NEW_NAMES = {"draft": "pending", "queued": "confirmed"}


def rename(apps, schema_editor):
    """The states of before, by the names that clients know them by; a confirmed one may be worked on now."""
    instructions = apps.get_model("pipeline", "AgentInstruction").objects
    for old, new in NEW_NAMES.items():
        instructions.filter(status=old).update(status=new)
    instructions.filter(status="confirmed", confirmed_at__isnull=True).update(confirmed_at=timezone.now())


def restore(apps, schema_editor):
    """`confirmed` was a state before, too, so only the other one gets its name back."""
    apps.get_model("pipeline", "AgentInstruction").objects.filter(status="pending").update(status="draft")


class Migration(migrations.Migration):

    dependencies = [
        ('pipeline', '0005_instructions_that_are_dispatched'),
    ]

    operations = [migrations.RunPython(rename, restore)]
