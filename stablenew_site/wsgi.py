"""WSGI entry point of the web server."""

import os

from django.core.wsgi import get_wsgi_application

from stablenew_site.head_requests import without_body

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "stablenew_site.settings")
application = without_body(get_wsgi_application())
