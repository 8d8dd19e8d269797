from django.urls import path

from diagnostics import views
from diagnostics.explaining import views as job_views
from diagnostics.failures import views as failure_views

urlpatterns = [
    path("healthz", views.healthz, name="healthz"),
    path("debug/events/", views.events, name="events"),
    path("debug/events.jsonl", views.events_jsonl, name="events-jsonl"),
    path("jobs/<int:job_id>/account/", job_views.account, name="job-account"),
    path("jobs/<int:job_id>/exchanges/", job_views.exchanges, name="job-exchanges"),
    path("failures/", failure_views.failures, name="failures"),
    path("failures/<int:job_id>/artifacts/", views.artifacts, name="failure-artifacts"),
    path("failures/<int:job_id>/artifacts/<path:path>", views.artifact, name="failure-artifact"),
]
