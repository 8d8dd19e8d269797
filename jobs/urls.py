from django.urls import path

from jobs.views import job, lists, packs, pictures, queue, runners

urlpatterns = [
    path("", queue.queue, name="queue"),
    path("live", queue.queue_live, name="queue-live"),
    path("queue/pause/", queue.queue_pause, name="queue-pause"),
    path("queue/resume/", queue.queue_resume, name="queue-resume"),
    path("queued/", lists.queued, name="queued"),
    path("history/", lists.history, name="history"),
    path("jobs/", lists.everything, name="jobs"),
    path("jobs/<int:job_id>/", job.job, name="job"),
    path("jobs/<int:job_id>/live", job.job_live, name="job-live"),
    path("jobs/<int:job_id>/cancel/", job.job_cancel, name="job-cancel"),
    path("jobs/<int:job_id>/rerun/", job.job_rerun, name="job-rerun"),
    path("outputs/<int:output_id>/", pictures.output, name="output"),
    path("outputs/<int:output_id>/thumb/", pictures.thumb, name="thumb"),
    path("nodes/<int:node_id>/preview/", pictures.preview, name="preview"),
    path("runners/<int:node_id>/", runners.runner_state, name="runner-state"),
    path("runners/<int:node_id>/try/", runners.runner_try, name="runner-try"),
    path("packs/", packs.pack_list, name="packs"),
    path("packs/import/", packs.pack_import, name="pack-import"),
    path("packs/<int:pack_id>/", packs.pack, name="pack"),
    path("packs/<int:pack_id>/dry-run/", packs.pack_dry_run, name="pack-dry-run"),
    path("packs/<int:pack_id>/submit/", packs.pack_submit, name="pack-submit"),
    path("submissions/<int:submission_id>/", packs.submission, name="submission"),
]
