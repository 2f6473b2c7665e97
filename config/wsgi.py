# SPDX-License-Identifier: AGPL-3.0-or-later
from __future__ import annotations

import os

from django.core.wsgi import get_wsgi_application

from accounts.checks import refuse_unsafe_database

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

application = get_wsgi_application()
refuse_unsafe_database()
