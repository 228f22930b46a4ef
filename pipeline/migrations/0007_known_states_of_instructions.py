from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('pipeline', '0006_states_of_instructions'),
    ]

    operations = [
        migrations.AddConstraint(
            model_name='agentinstruction',
            constraint=models.CheckConstraint(condition=models.Q(('status__in', ['pending', 'confirmed', 'running', 'done', 'failed', 'canceled'])), name='agent_instruction_status_known'),
        ),
        migrations.AddConstraint(
            model_name='agentinstruction',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('locked_at__isnull', True), ('locked_by', '')), models.Q(models.Q(('locked_by', ''), _negated=True), ('locked_at__isnull', False)), _connector='OR'), name='agent_instruction_locked_by_somebody'),
        ),
    ]
