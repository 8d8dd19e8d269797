"""django-q2's admin pages show wake-ups, which say nothing about jobs and mislead: they are taken away."""

import django_q.admin  # registers its pages on import, whatever the order of the apps
from django.contrib import admin
from django_q.models import Failure, OrmQ, Schedule, Success

for _model in (Failure, OrmQ, Schedule, Success):
    if admin.site.is_registered(_model):
        admin.site.unregister(_model)

admin.site.site_header = "StableNew"
admin.site.site_title = "StableNew admin"
admin.site.index_title = "Everything that is stored, to look at"
# Wide tables need the room; the index and the path above each page lead everywhere.
admin.site.enable_nav_sidebar = False

__all__ = ("django_q",)
