import time

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("projects", "0005_token_expiry_text_and_audit_of_project")]

    operations = [
        migrations.AddField(
            model_name="referenceitem",
            name="position",
            field=models.BigIntegerField(default=time.time_ns, editable=False),
        ),
        migrations.AlterModelOptions(
            name="referenceitem",
            options={"ordering": ["sort_order", "position", "id"]},
        ),
    ]
