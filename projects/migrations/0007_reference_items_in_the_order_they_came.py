from django.apps.registry import Apps
from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

AT_ONCE = 500


def number(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Items from before there were positions come before all later ones, in the order in which they came."""
    ReferenceItem = apps.get_model("projects", "ReferenceItem")
    keys = list(ReferenceItem.objects.order_by("created_at", "id").values_list("pk", flat=True))
    for start in range(0, len(keys), AT_ONCE):
        items = [
            ReferenceItem(pk=pk, position=position)
            for position, pk in enumerate(keys[start : start + AT_ONCE], start=start + 1)
        ]
        ReferenceItem.objects.bulk_update(items, ["position"])


class Migration(migrations.Migration):
    dependencies = [("projects", "0006_reference_items_keep_their_order")]

    operations = [migrations.RunPython(number, migrations.RunPython.noop)]
