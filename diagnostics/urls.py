from django.urls import path

import webui.pages.sent  # noqa: F401 - registers <id:...>
from diagnostics import views
from diagnostics.bundle import views as bundle_views
from diagnostics.explaining import views as job_views
from diagnostics.failures import views as failure_views

urlpatterns = [
    path("healthz", views.healthz, name="healthz"),
    path("debug/events/", views.events, name="events"),
    path("debug/events.jsonl", views.events_jsonl, name="events-jsonl"),
    path("jobs/<id:job_id>/account/", job_views.account, name="job-account"),
    path("jobs/<id:job_id>/exchanges/", job_views.exchanges, name="job-exchanges"),
    path("failures/", failure_views.failures, name="failures"),
    path("failures/<id:job_id>/bundle/", bundle_views.bundle, name="bundle"),
    path(
        "failures/<id:job_id>/bundle/with-prompts/",
        bundle_views.bundle_with_prompts,
        name="bundle-with-prompts",
    ),
    path("failures/<id:job_id>/artifacts/", views.artifacts, name="failure-artifacts"),
    path("failures/<id:job_id>/artifacts/<path:path>", views.artifact, name="failure-artifact"),
]
