
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('projects', '0002_account_limits_of_0_are_none'),
    ]

    operations = [
        migrations.AddConstraint(
            model_name='provideraccount',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('max_concurrency__isnull', True), ('max_concurrency__gte', 1), _connector='OR'), models.Q(('requests_per_minute__isnull', True), ('requests_per_minute__gte', 1), _connector='OR')), name='provider_account_limits_from_1'),
        ),
    ]
