import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('pipeline', '0004_ended_runs_need_no_last_step'),
        ('projects', '0004_tokens_and_their_traces'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.AddField(
            model_name='agentinstruction',
            name='attempts',
            field=models.PositiveIntegerField(default=0, help_text='how often a worker has taken it'),
        ),
        migrations.AddField(
            model_name='agentinstruction',
            name='callback_hash',
            field=models.CharField(blank=True, help_text='of the secret the agent reports with', max_length=64),
        ),
        migrations.AddField(
            model_name='agentinstruction',
            name='confirmed_by',
            field=models.ForeignKey(blank=True, help_text='none for the operator', null=True, on_delete=django.db.models.deletion.PROTECT, related_name='confirmed_instructions', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddField(
            model_name='agentinstruction',
            name='constraints',
            field=models.JSONField(blank=True, default=dict),
        ),
        migrations.AddField(
            model_name='agentinstruction',
            name='deadline_at',
            field=models.DateTimeField(blank=True, help_text='until when the agent has to report', null=True),
        ),
        migrations.AddField(
            model_name='agentinstruction',
            name='execution',
            field=models.JSONField(blank=True, default=dict),
        ),
        migrations.AddField(
            model_name='agentinstruction',
            name='executor',
            field=models.CharField(blank=True, choices=[('agent', 'Agent'), ('kroma', 'Kroma')], help_text='who carries it out; settled at the confirmation', max_length=10),
        ),
        migrations.AddField(
            model_name='agentinstruction',
            name='inputs',
            field=models.JSONField(blank=True, default=dict),
        ),
        migrations.AddField(
            model_name='agentinstruction',
            name='instruction_type',
            field=models.CharField(choices=[('pipeline_run', 'Pipeline Run'), ('asset_edit', 'Asset Edit'), ('qa_check', 'Qa Check'), ('storage_sync', 'Storage Sync'), ('custom', 'Custom')], default='custom', max_length=20),
        ),
        migrations.AddField(
            model_name='agentinstruction',
            name='last_error',
            field=models.TextField(blank=True),
        ),
        migrations.AddField(
            model_name='agentinstruction',
            name='locked_at',
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name='agentinstruction',
            name='locked_by',
            field=models.CharField(blank=True, help_text='the worker that has it in hand', max_length=100),
        ),
        migrations.AddField(
            model_name='agentinstruction',
            name='max_attempts',
            field=models.PositiveIntegerField(blank=True, help_text='the limit at the last attempt', null=True),
        ),
        migrations.AddField(
            model_name='agentinstruction',
            name='next_attempt_at',
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name='agentinstruction',
            name='payload',
            field=models.JSONField(blank=True, default=dict),
        ),
        migrations.AddField(
            model_name='agentinstruction',
            name='requested_by',
            field=models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='instructions', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddField(
            model_name='agentinstruction',
            name='response',
            field=models.JSONField(blank=True, default=dict, help_text="the agent's last answer or report"),
        ),
        migrations.AddField(
            model_name='agentinstruction',
            name='run',
            field=models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='instructions', to='pipeline.run'),
        ),
        migrations.AddField(
            model_name='agentinstruction',
            name='rung_at',
            field=models.DateTimeField(blank=True, help_text='when the queue was last told of it', null=True),
        ),
        migrations.AddField(
            model_name='agentinstruction',
            name='spend_confirmed',
            field=models.BooleanField(default=False, help_text='the run it asks for may cost money'),
        ),
        migrations.AlterField(
            model_name='agentinstruction',
            name='status',
            field=models.CharField(choices=[('pending', 'Pending'), ('confirmed', 'Confirmed'), ('running', 'Running'), ('done', 'Done'), ('failed', 'Failed'), ('canceled', 'Canceled')], default='pending', max_length=20),
        ),
        migrations.AddIndex(
            model_name='agentinstruction',
            index=models.Index(fields=['status', 'updated_at'], name='agent_instruction_by_status'),
        ),
    ]
