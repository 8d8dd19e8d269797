"""Settings of the whole site; every value a user may change comes from the environment (`docs/settings.md`)."""

from __future__ import annotations

import sys
from pathlib import Path

from csp.constants import NONE, SELF

from stablenew_site import environment as env

PACKAGE_DIR = Path(__file__).resolve().parent
BASE_DIR = PACKAGE_DIR.parent
# A wheel has the templates within the package (pyproject.toml), a checkout has them beside it.
IN_CHECKOUT = not (PACKAGE_DIR / "templates").is_dir()

STABLENEW_DATA_DIR = env.data_folder(in_checkout=IN_CHECKOUT)
STABLENEW_OUTPUT_DIR = STABLENEW_DATA_DIR / "outputs"
STABLENEW_INPUT_DIR = STABLENEW_DATA_DIR / "inputs"
STABLENEW_THUMBNAIL_DIR = STABLENEW_DATA_DIR / "thumbnails"
STABLENEW_PREVIEW_DIR = STABLENEW_DATA_DIR / "previews"
STABLENEW_LOG_DIR = STABLENEW_DATA_DIR / "logs"
STABLENEW_PROCESS_DIR = STABLENEW_DATA_DIR / "processes"

SECRET_KEY = env.secret_key(STABLENEW_DATA_DIR)
DEBUG = env.flag("STABLENEW_DEBUG")
ALLOWED_HOSTS = env.names("STABLENEW_ALLOWED_HOSTS", "localhost,127.0.0.1,[::1]")
CSRF_TRUSTED_ORIGINS = env.names("STABLENEW_CSRF_TRUSTED_ORIGINS")

INSTALLED_APPS = [
    "stablenew_site.apps.SiteConfig",
    "diagnostics.apps.DiagnosticsConfig",
    "jobs.apps.JobsConfig",
    "webui.apps.WebUIConfig",
    "django_q",
    "django_htmx",
    "csp",
    # Its tables are looked for with the addresses (`stablenew_site.urls`): a command has no pages.
    "django.contrib.admin.apps.SimpleAdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
]

MIDDLEWARE = [
    # Outermost: whatever asks the database for a request is bound.
    "stablenew_site.page_limit.PageLimitMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    # Within it, because files that everybody may have say how long they keep.
    "stablenew_site.cache_headers.CacheHeadersMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.auth.middleware.LoginRequiredMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "jobs.pages.not_found.NotFoundMiddleware",
]

ROOT_URLCONF = "stablenew_site.urls"
WSGI_APPLICATION = "stablenew_site.wsgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [(BASE_DIR if IN_CHECKOUT else PACKAGE_DIR) / "templates"],
        "OPTIONS": {
            "loaders": [
                (
                    "django.template.loaders.cached.Loader",
                    [
                        "stablenew_site.template_loader.Loader",
                        "django.template.loaders.app_directories.Loader",
                    ],
                )
            ],
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

# --- database ---------------------------------------------------------------------------------------
DATABASES = {
    "default": env.database("DATABASE_URL", f"sqlite:///{STABLENEW_DATA_DIR / 'stablenew.sqlite3'}"),
}
if DATABASES["default"]["ENGINE"] == "django.db.backends.sqlite3":
    # WAL lets pages read while the worker writes; IMMEDIATE takes the write lock at BEGIN, so that a
    # read-then-write transaction waits instead of failing with "database is locked".
    DATABASES["default"]["OPTIONS"] = {
        "timeout": 20,
        "transaction_mode": "IMMEDIATE",
        "init_command": (
            "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA journal_size_limit=67108864;"
        ),
    }
    # A file, not memory: threads and processes of the tests share it.
    DATABASES["default"]["TEST"] = {"NAME": str(STABLENEW_DATA_DIR / "test.sqlite3")}
    DATABASES["default"]["CONN_MAX_AGE"] = None
else:
    DATABASES["default"]["CONN_MAX_AGE"] = 60
    DATABASES["default"]["CONN_HEALTH_CHECKS"] = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# --- the engine (why each value: docs/architecture.md) --------------------------------------------------
Q_CLUSTER = {
    "name": "stablenew",
    "ALT_CLUSTERS": {},
    "orm": "default",
    "workers": 1,
    "queue_limit": 1,
    "bulk": 1,
    "poll": 0.1,
    "timeout": env.whole("STABLENEW_TASK_TIMEOUT_S", 5400),
    # Far above the longest task, which may be one of a film.
    "retry": max(
        env.whole("STABLENEW_TASK_TIMEOUT_S", 5400) * 4,
        round(env.number("STABLENEW_FILM_DEADLINE_S", 7200)) * 8,
    ),
    "ack_failures": True,
    "max_attempts": 1,
    "save_limit": -1,
    "recycle": 200,
    "guard_cycle": 0.5,
    "scheduler": False,
    "catch_up": False,
    "log_level": "WARNING",
}

# --- WebUI ------------------------------------------------------------------------------------------
STABLENEW_WEBUI_URL = env.text("STABLENEW_WEBUI_URL")
STABLENEW_WEBUI_COMMAND = env.text("STABLENEW_WEBUI_COMMAND")
STABLENEW_WEBUI_AUTH = env.text("STABLENEW_WEBUI_AUTH")
STABLENEW_WEBUI_RESTART_COMMAND = env.text("STABLENEW_WEBUI_RESTART_COMMAND")
# A newcomer's packs name checkpoints and upscalers that no simulator has; and progress should be seen.
STABLENEW_SIMULATOR_OPTIONS = env.text(
    "STABLENEW_SIMULATOR_OPTIONS", "--any-name --adetailer --seconds-per-step 0.05"
)
STABLENEW_SIMULATE_WORKERS = env.flag("STABLENEW_SIMULATE_WORKERS", True)
STABLENEW_SIMULATOR_WORKER_OPTIONS = env.text(
    "STABLENEW_SIMULATOR_WORKER_OPTIONS", "--any-name --seconds-per-step 0.2"
)
STABLENEW_SETTLE_S = env.number("STABLENEW_SETTLE_S", 1.0)
STABLENEW_READY_TIMEOUT_S = env.number("STABLENEW_READY_TIMEOUT_S", 600)
STABLENEW_STOP_GRACE_S = env.number("STABLENEW_STOP_GRACE_S", 10)
STABLENEW_RESTART_COMMAND_S = env.number("STABLENEW_RESTART_COMMAND_S", 120)
STABLENEW_LOG_MAX_BYTES = env.whole("STABLENEW_LOG_MAX_BYTES", 10_485_760)

# --- jobs -------------------------------------------------------------------------------------------
STABLENEW_GLOBAL_POSITIVE = env.text("STABLENEW_GLOBAL_POSITIVE")
STABLENEW_GLOBAL_NEGATIVE = env.text("STABLENEW_GLOBAL_NEGATIVE", "lowres, bad quality, blurry")
STABLENEW_MAX_RECORDS = env.whole("STABLENEW_MAX_RECORDS", 10_000)
STABLENEW_LEASE_S = env.number("STABLENEW_LEASE_S", 30)
STABLENEW_LEASE_RENEW_S = env.number("STABLENEW_LEASE_RENEW_S", 5)
STABLENEW_HANG_IDLE_S = env.number("STABLENEW_HANG_IDLE_S", 600)
STABLENEW_HANG_BUSY_S = env.number("STABLENEW_HANG_BUSY_S", 180)
STABLENEW_HANG_STEP_S = env.number("STABLENEW_HANG_STEP_S", 600)
STABLENEW_HANG_PHASE_S = env.number("STABLENEW_HANG_PHASE_S", 900)
STABLENEW_STAGE_DEADLINE_S = env.number("STABLENEW_STAGE_DEADLINE_S", 1800)
STABLENEW_JOB_DEADLINE_S = env.number("STABLENEW_JOB_DEADLINE_S", 3600)
STABLENEW_FILM_DEADLINE_S = env.number("STABLENEW_FILM_DEADLINE_S", 7200)
STABLENEW_CANCEL_GRACE_S = env.number("STABLENEW_CANCEL_GRACE_S", 60)
STABLENEW_PREVIEWS = env.flag("STABLENEW_PREVIEWS", True)
STABLENEW_DRAIN_S = env.number("STABLENEW_DRAIN_S", 300)
STABLENEW_DEAF_S = env.number("STABLENEW_DEAF_S", 30)
STABLENEW_DEAF_SUSPECT_S = env.number("STABLENEW_DEAF_SUSPECT_S", 5)
STABLENEW_FOREIGN_LEASE_S = env.number("STABLENEW_FOREIGN_LEASE_S", 120)
STABLENEW_CLEAR_ON_START = env.flag("STABLENEW_CLEAR_ON_START")
STABLENEW_TRUTH = env.choice("STABLENEW_TRUTH", "mark", ("mark", "retry", "fail"))
STABLENEW_QUIET_S = env.number("STABLENEW_QUIET_S", 30)
STABLENEW_BUNDLE_MAX_BYTES = env.whole("STABLENEW_BUNDLE_MAX_BYTES", 20_971_520)
STABLENEW_BREAKER_FAILURES = env.whole("STABLENEW_BREAKER_FAILURES", 3)
STABLENEW_BREAKER_PAUSE_S = env.number("STABLENEW_BREAKER_PAUSE_S", 600)
STABLENEW_BREAKER_MAX_PAUSE_S = env.number("STABLENEW_BREAKER_MAX_PAUSE_S", 3600)

# --- the web ----------------------------------------------------------------------------------------
STABLENEW_PAGE_LIMIT_S = env.number("STABLENEW_PAGE_LIMIT_S", 60)
STABLENEW_STALL_LIMIT_S = env.number("STABLENEW_STALL_LIMIT_S", 60)
STATIC_URL = "static/"
STATICFILES_DIRS = [PACKAGE_DIR / "static"]
# Served from where they are: there is no collectstatic step to forget.
WHITENOISE_USE_FINDERS = True
LOGIN_URL = "login"
LOGIN_REDIRECT_URL = "queue"
LOGOUT_REDIRECT_URL = "login"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in ("UserAttributeSimilarityValidator", "MinimumLengthValidator", "CommonPasswordValidator")
]
DATA_UPLOAD_MAX_MEMORY_SIZE = 16 * 1024 * 1024
# A folder of packs, each with its two files, and a whole page of marked jobs: what is more is refused in words.
DATA_UPLOAD_MAX_NUMBER_FILES = 2_000
DATA_UPLOAD_MAX_NUMBER_FIELDS = 5_000

CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [SELF],
        "script-src": [SELF],
        "style-src": [SELF],
        "img-src": [SELF, "data:"],
        "media-src": [SELF],
        "connect-src": [SELF],
        "object-src": [NONE],
        "base-uri": [NONE],
        "form-action": [SELF],
        "frame-ancestors": [NONE],
    }
}
X_FRAME_OPTIONS = "DENY"
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
# A login holds two weeks from when it was made: extending it would write a row at every poll.
SESSION_COOKIE_AGE = 14 * 24 * 3600
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
# Pages hand the token to htmx themselves; no script needs the cookie.
CSRF_COOKIE_HTTPONLY = True
CSRF_COOKIE_SAMESITE = "Lax"
# Holds the counts of failed logins (`sign_in_limit`): with few places a stranger could push them out.
CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.locmem.LocMemCache",
        "OPTIONS": {"MAX_ENTRIES": 20_000},
    }
}

# Behind a TLS proxy: set STABLENEW_HTTPS=on; cookies become secure, plain HTTP is redirected, HSTS is sent.
STABLENEW_HTTPS = env.flag("STABLENEW_HTTPS")
if STABLENEW_HTTPS:
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    SECURE_SSL_REDIRECT = True
    SECURE_HSTS_SECONDS = 31_536_000
    SECURE_HSTS_INCLUDE_SUBDOMAINS = True
    SECURE_HSTS_PRELOAD = True
    SESSION_COOKIE_SECURE = True
    CSRF_COOKIE_SECURE = True

# --- words, time, logs ------------------------------------------------------------------------------
LANGUAGE_CODE = "en-us"
TIME_ZONE = env.text("STABLENEW_TIME_ZONE", "UTC")
USE_I18N = False
USE_TZ = True

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "plain": {"format": "%(asctime)s %(levelname)s %(name)s: %(message)s"},
        "json": {"()": "stablenew_site.log_lines.JsonLines"},
    },
    "filters": {"same_lines": {"()": "stablenew_site.log_limit.SameLines"}},
    "handlers": {
        "stderr": {
            "class": "logging.StreamHandler",
            "stream": sys.stderr,
            "filters": ["same_lines"],
            "formatter": env.choice("STABLENEW_LOG_FORMAT", "plain", ("plain", "json")),
        },
    },
    "root": {"handlers": ["stderr"], "level": "WARNING"},
    "loggers": {
        name: {"handlers": ["stderr"], "level": env.text("STABLENEW_LOG_LEVEL", "INFO"), "propagate": False}
        for name in ("stablenew_site", "diagnostics", "jobs", "webui")
    },
}
