"""No table of its own: the jobs of `jobs`, seen as failures."""

from __future__ import annotations

from jobs.models import Job


class FailedJob(Job):
    """A job that failed, or that needed its one retry; `view` is the permission to see failures and evidence."""

    class Meta:
        proxy = True
        verbose_name = "failure"
        default_permissions = ("view",)
        permissions = (("bundle_prompts", "Can take out bundles with prompts"),)
