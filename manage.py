#!/usr/bin/env python
"""Kroma's command line: `manage.py up` starts the workspace, `manage.py help` lists the rest."""

import os
import sys

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "kroma_site.settings")

    from django.core.exceptions import ImproperlyConfigured
    from django.core.management import execute_from_command_line

    try:
        execute_from_command_line(sys.argv)
    except ImproperlyConfigured as error:
        # A wrong setting is the operator's business, not a traceback's.
        sys.exit(f"Configuration: {error}")
