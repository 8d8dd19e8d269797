"""The operations of the API, and what it answers where it cannot: always JSON, an `error` with `code` and `message`."""

from __future__ import annotations

from http import HTTPStatus
from typing import Final

from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.http import require_safe
from ninja import NinjaAPI
from ninja.errors import AuthenticationError, HttpError, ValidationError
from ninja.security import SessionAuth

from jobs.api.answers import ApiError, ApiJob, ApiJobs, ApiRefusal, answers
from jobs.errors import NotFoundError
from jobs.models import Job
from webui.kinds import WorkKind

#: Jobs in one list.
NEWEST: Final = 50
#: Where all this stands.
PREFIX: Final = "/api/v1/"
SIGN_IN: Final = (
    "Sign in first: this address answers only who is signed in (the session cookie of the pages)."
)

#: No page for browsers: the one that comes with it loads scripts from elsewhere.
api = NinjaAPI(
    title="StableNew",
    version="1",
    description="Jobs as JSON, for who is signed in. More operations come later; fields may be added.",
    auth=SessionAuth(),
    openapi_url=None,
    docs_url=None,
)


@api.get(
    "/jobs",
    url_name="api-jobs",
    operation_id="jobs",
    summary="The newest jobs",
    tags=["jobs"],
    response={200: ApiJobs, 401: ApiRefusal, 422: ApiRefusal},
)
def jobs(request: HttpRequest, kind: WorkKind | None = None) -> ApiJobs:
    """The 50 that were submitted last, the latest first; with `kind` only those of that kind."""
    found = _jobs().order_by("-id")
    if kind is not None:
        found = found.filter(kind=kind)
    return ApiJobs(jobs=answers(list(found[:NEWEST])))


@api.get(
    "/jobs/{id:job_id}",
    url_name="api-job",
    operation_id="job",
    summary="One job",
    tags=["jobs"],
    response={200: ApiJob, 401: ApiRefusal, 404: ApiRefusal},
)
def job(request: HttpRequest, job_id: int) -> ApiJob:
    """Its state, its results, and while it waits or runs why and how far."""
    found = answers(list(_jobs().filter(pk=job_id)))
    if not found:
        raise NotFoundError(f"There is no job {job_id}. Its number may be mistyped.")
    return found[0]


def _jobs() -> QuerySet[Job]:
    return Job.objects.select_related("record", "node__runner")


@require_safe
def document(request: HttpRequest) -> HttpResponse:
    """What this API offers, as an OpenAPI document."""
    if not request.user.is_authenticated:
        return refusal(HTTPStatus.UNAUTHORIZED, "signed_out", SIGN_IN)
    return JsonResponse(api.get_openapi_schema(path_prefix=PREFIX))


def refusal(status: int, code: str, message: str) -> HttpResponse:
    return JsonResponse(ApiRefusal(error=ApiError(code=code, message=message)).model_dump(), status=status)


@api.exception_handler(AuthenticationError)
def _signed_out(request: HttpRequest, exc: AuthenticationError) -> HttpResponse:
    return refusal(HTTPStatus.UNAUTHORIZED, "signed_out", SIGN_IN)


@api.exception_handler(NotFoundError)
def _not_found(request: HttpRequest, exc: NotFoundError) -> HttpResponse:
    return refusal(HTTPStatus.NOT_FOUND, exc.code, str(exc))


@api.exception_handler(HttpError)
def _refused(request: HttpRequest, exc: HttpError) -> HttpResponse:
    return refusal(exc.status_code, "refused", f"{exc.message}.")


@api.exception_handler(ValidationError)
def _unreadable(request: HttpRequest, exc: ValidationError) -> HttpResponse:
    said = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in exc.errors)
    return refusal(HTTPStatus.UNPROCESSABLE_ENTITY, "arguments", f"The question cannot be read: {said}.")
