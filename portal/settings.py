"""All settings, read from the environment. `.env.example` and docs/settings.md list them.

Safe by default: without DEBUG, a missing or default secret stops the start with a sentence that says what to do.
"""

from pathlib import Path

import environ
from celery.schedules import crontab
from csp.constants import NONE, SELF
from django.core.exceptions import ImproperlyConfigured

BASE_DIR = Path(__file__).resolve().parent.parent
env = environ.Env()
environ.Env.read_env(BASE_DIR / ".env")

DEBUG = env.bool("DEBUG", default=False)
DEFAULT_SECRET = "change-me"  # noqa: S105 the value of .env.example, refused below
SECRET_KEY = env.str("SECRET_KEY", default="development-only" if DEBUG else "")
if not DEBUG and SECRET_KEY in ("", DEFAULT_SECRET, "development-only"):
    raise ImproperlyConfigured(
        "SECRET_KEY is missing or still the example's. Set it to 50 random characters, for instance the output of "
        "`python -c 'import secrets; print(secrets.token_urlsafe(50))'`, or set DEBUG=true for development."
    )
ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", default=["localhost", "127.0.0.1"])
CSRF_TRUSTED_ORIGINS = env.list("CSRF_TRUSTED_ORIGINS", default=[])

# --- where the parts are: each can be replaced by its URL, with no other change ---
VAR_DIR = Path(env.str("VAR_DIR", default=str(BASE_DIR / "var")))
DATABASE_URL = env.str("DATABASE_URL", default=f"sqlite:///{VAR_DIR / 'wellrange.sqlite3'}")
REDIS_URL = env.str("REDIS_URL", default="redis://127.0.0.1:6379/0")
KAFKA_BOOTSTRAP_SERVERS = env.str("KAFKA_BOOTSTRAP_SERVERS", default="127.0.0.1:9092")
# Off for the embedded broker, whose transactions do not hold: the door is then at-least-once and doubles fall out
# by their source coordinates.
KAFKA_TRANSACTIONS = env.bool("KAFKA_TRANSACTIONS", default=True)
# Fixed when the topic is made: more partitions later would split people over two readers.
ADMITTED_PARTITIONS = env.int("ADMITTED_PARTITIONS", default=6)
READINGS_PARTITIONS = env.int("READINGS_PARTITIONS", default=6)
MODELS_URL = env.str("MODELS_URL", default=str(VAR_DIR / "models"))
LAKE_URL = env.str("LAKE_URL", default=str(VAR_DIR / "lake"))

INSTALLED_APPS = [
    "portal.accounts",
    "portal.people",
    "portal.devices",
    "portal.consent",
    "portal.monitoring",
    "portal.alerts",
    "portal.charts",
    "portal.pipeline",
    "portal.personal",
    "portal.operations",
    "portal.archive",
    "portal.rights",
    "portal.watchdog",
    "portal.embedded",
    "allauth",
    "allauth.account",
    "channels",
    "csp",
    "django_htmx",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.humanize",
    "django.forms",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "portal.accounts.middleware.local_time",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "portal.accounts.middleware.whole_page_to_sign_in",
]

ROOT_URLCONF = "portal.urls"
ASGI_APPLICATION = "portal.asgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "portal" / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

FORM_RENDERER = "django.forms.renderers.TemplatesSetting"  # our templates may stand in for those of a field

# --- database ---
DATABASES = {"default": env.db_url_config(DATABASE_URL)}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
if DATABASES["default"]["ENGINE"].endswith("sqlite3"):
    DATABASES["default"]["OPTIONS"] = {
        # IMMEDIATE: a transaction that will write takes the lock at its start and cannot fail half-way.
        "transaction_mode": "IMMEDIATE",
        "timeout": 20,
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON;",
    }
else:
    DATABASES["default"]["OPTIONS"] = {
        **DATABASES["default"].get("OPTIONS", {}),
        # Who finds no connection within the time-out has an error to act on: the door goes on with what it knows.
        "pool": {"min_size": 1, "max_size": 8, "timeout": 5},
        # A process that froze inside a transaction (a stopped machine) must not keep its locks: a watcher could not be
        # taken over, and nobody could record a change.
        "options": "-c idle_in_transaction_session_timeout=10s",
    }

# --- Redis: sessions are in the database, so an emptied Redis signs nobody out ---
CHANNEL_LAYERS = {
    "default": {
        "BACKEND": "channels_redis.core.RedisChannelLayer",
        # Channels waits 5 s at a time for a message, which is also when redis-py 8 gives up reading unless told more.
        "CONFIG": {"hosts": [{"address": REDIS_URL, "socket_timeout": 15}]},
    },
}
CACHES = {"default": {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": REDIS_URL}}

# --- Celery: two queues, so that no long task ever delays an alert ---
CELERY_BROKER_URL = REDIS_URL
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_TASK_TIME_LIMIT = 300
CELERY_WORKER_MAX_MEMORY_PER_CHILD = env.int("WORKER_MAX_MB", default=1000) * 1000  # kilobytes, looked at after a task
CELERY_BROKER_TRANSPORT_OPTIONS = {"visibility_timeout": 900}
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_TIMEZONE = "UTC"
CELERY_TASK_DEFAULT_QUEUE = "care"
CELERY_TASK_ROUTES = {
    **{
        name: {"queue": "lake"}
        for name in (
            *(f"portal.monitoring.tasks.{task}" for task in ("preview_make", "weigh", "weigh_share")),
            *(
                f"portal.pipeline.tasks.{task}"
                for task in ("archive_share", "tidy_lake", "seal_due", "seal_day", "keep_lake")
            ),
        )
    },
    **{f"portal.{app}.tasks.*": {"queue": "lake"} for app in ("operations", "archive", "rights", "personal")},
}
ARCHIVE_SHARES = env.int("ARCHIVE_SHARES", default=1)
ARCHIVE_EVERY_S = env.float("ARCHIVE_EVERY_S", default=5.0)
TIDY_EVERY_S = env.float("TIDY_EVERY_S", default=180.0)
SEAL_EVERY_S = env.float("SEAL_EVERY_S", default=600.0)
KEEP_LAKE_EVERY_S = env.float("KEEP_LAKE_EVERY_S", default=21600.0)
SUMMARIES_KEPT_DAYS = env.int("SUMMARIES_KEPT_DAYS", default=3660)  # then trends end, too
TRAIN_AT_HOUR = env.int("TRAIN_AT_HOUR", default=2)  # UTC
TRAINING_SHARES = env.int("TRAINING_SHARES", default=1)  # training tasks for each partition of `vitals.admitted`
# An entry that could not run in time expires: the next one does its work.
CELERY_BEAT_SCHEDULE = {
    **{
        f"archive-{share}": {
            "task": "portal.pipeline.tasks.archive_share",
            "schedule": ARCHIVE_EVERY_S,
            "kwargs": {"share": share, "shares": ARCHIVE_SHARES},
            "options": {"expires": ARCHIVE_EVERY_S},
        }
        for share in range(ARCHIVE_SHARES)
    },
    **{
        name: {"task": f"portal.pipeline.tasks.{name}", "schedule": every, "options": {"expires": every}}
        for name, every in (("tidy_lake", TIDY_EVERY_S), ("seal_due", SEAL_EVERY_S), ("keep_lake", KEEP_LAKE_EVERY_S))
    },
    "train": {
        "task": "portal.personal.tasks.train_all",
        "schedule": crontab(hour=TRAIN_AT_HOUR, minute=10),
        "options": {"expires": 3600},
    },
    "learn-shared": {
        "task": "portal.personal.tasks.learn_shared",
        "schedule": crontab(day_of_week="sunday", hour=TRAIN_AT_HOUR, minute=40),
        "options": {"expires": 3600},
    },
    "weights": {
        "task": "portal.monitoring.tasks.weigh",
        "schedule": crontab(minute=40),
        "options": {"expires": 1800},
    },
    "nights": {
        "task": "portal.personal.tasks.judge_nights",
        "schedule": crontab(minute=20),
        "options": {"expires": 1800},
    },
    "path-look": {"task": "portal.operations.tasks.path_look", "schedule": 10.0, "options": {"expires": 10.0}},
    "consents-to-lake": {
        "task": "portal.operations.tasks.consents_to_lake",
        "schedule": 30.0,
        "options": {"expires": 30.0},
    },
    "archive-old": {"task": "portal.archive.tasks.archive_old", "schedule": 900.0, "options": {"expires": 900.0}},
    "archive-restore": {"task": "portal.archive.tasks.archive_restore", "schedule": 15.0, "options": {"expires": 15.0}},
    "erasures-advance": {
        "task": "portal.rights.tasks.erasures_advance",
        "schedule": 60.0,
        "options": {"expires": 60.0},
    },
    "deliver": {"task": "portal.alerts.tasks.deliver", "schedule": 2.0, "options": {"expires": 2.0}},
    "overdue": {"task": "portal.alerts.tasks.overdue", "schedule": 5.0, "options": {"expires": 5.0}},
    "watchdog": {"task": "portal.watchdog.tasks.watch_over", "schedule": 5.0, "options": {"expires": 5.0}},
    "silence": {"task": "portal.alerts.tasks.silence", "schedule": 15.0, "options": {"expires": 15.0}},
}

# Old quarters: the storage class on S3, how S3 brings objects back, and how long a folder lets people wait.
ARCHIVE_STORAGE_CLASS = env.str("ARCHIVE_STORAGE_CLASS", default="GLACIER")
ARCHIVE_TIER = env.str("ARCHIVE_TIER", default="Bulk")
ARCHIVE_FOLDER_WAIT_S = env.float("ARCHIVE_FOLDER_WAIT_S", default=60.0)

# Where `lake_sql --athena` runs; an empty output leaves the place of results to the workgroup.
ATHENA_DATABASE = env.str("ATHENA_DATABASE", default="wellrange")
ATHENA_WORKGROUP = env.str("ATHENA_WORKGROUP", default="wellrange")
ATHENA_OUTPUT = env.str("ATHENA_OUTPUT", default="")

# What a scraper of /metrics must send as a bearer token; without one, only this machine may read it.
METRICS_TOKEN = env.str("METRICS_TOKEN", default="")

# --- people and signing in ---
AUTH_USER_MODEL = "accounts.User"
AUTHENTICATION_BACKENDS = ["allauth.account.auth_backends.AuthenticationBackend"]
PASSWORD_HASHERS = [
    "django.contrib.auth.hashers.Argon2PasswordHasher",
    "django.contrib.auth.hashers.PBKDF2PasswordHasher",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 12}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
ACCOUNT_ADAPTER = "portal.accounts.adapter.InvitedOnly"
ACCOUNT_FORMS = {"login": "portal.accounts.forms.SignInForm"}
ACCOUNT_LOGIN_METHODS = {"username", "email"}
ACCOUNT_EMAIL_VERIFICATION = "none"
ACCOUNT_LOGOUT_ON_GET = False
LOGIN_URL = "account_login"
LOGIN_REDIRECT_URL = "home"
ACCOUNT_LOGOUT_REDIRECT_URL = "account_login"
SESSION_COOKIE_AGE = 12 * 3600

# --- mail: the text never holds health data ---
EMAIL_CONFIG = env.email_url("EMAIL_URL", default="consolemail://")
vars().update(EMAIL_CONFIG)
EMAIL_TIMEOUT = 10
DEFAULT_FROM_EMAIL = env.str("DEFAULT_FROM_EMAIL", default="Wellrange <noreply@localhost>")
# The watchdog makes a synthetic patient ill so often, and the alert must be delivered; 0 switches it off.
WATCHDOG_EVERY_S = env.int("WATCHDOG_EVERY_S", default=300)
WATCHDOG_EMAIL = env.str("WATCHDOG_EMAIL", default="watchdog@localhost")  # where its alerts go
OPERATOR_EMAILS = env.list(
    "OPERATOR_EMAILS", default=[]
)  # who is told when alerts stop arriving, and when they do again
PORTAL_URL = env.str("PORTAL_URL", default="http://127.0.0.1:8000")

# --- the browser ---
HTTPS = env.bool("HTTPS", default=not DEBUG)
SECURE_SSL_REDIRECT = HTTPS
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = HTTPS
SECURE_HSTS_SECONDS = 31_536_000 if HTTPS else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = HTTPS
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if env.bool("BEHIND_PROXY", default=False) else None
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [NONE],
        "script-src": [SELF],
        "style-src-elem": [SELF],
        # Plotly and Django's admin set style attributes; no script can be smuggled through one.
        "style-src-attr": ["'unsafe-inline'"],
        "img-src": [SELF, "data:"],
        "font-src": [SELF],
        "connect-src": [SELF],
        "manifest-src": [SELF],
        "object-src": [NONE],
        "base-uri": [NONE],
        "form-action": [SELF],
        "frame-ancestors": [NONE],
    }
}

STATIC_URL = "static/"
STATICFILES_DIRS = [BASE_DIR / "portal" / "static"]
# The folder that `manage.py collectstatic` fills: files then have hashed names, are compressed and cached for ever.
# Without one (development, the demo, tests) they come from where they lie.
STATIC_ROOT = env.str("STATIC_ROOT", default="") or None
WHITENOISE_USE_FINDERS = STATIC_ROOT is None
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {
        "BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"
        if STATIC_ROOT
        else "django.contrib.staticfiles.storage.StaticFilesStorage"
    },
}

LANGUAGE_CODE = "en-gb"
TIME_ZONE = "UTC"
USE_TZ = True
USE_I18N = True

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"plain": {"format": "%(asctime)s %(levelname)s %(name)s %(message)s"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "plain"}},
    "root": {"handlers": ["console"], "level": env.str("LOG_LEVEL", default="INFO")},
}

# Named places at which a process kills itself, for the fault tests: "name:n" dies at the n-th passage.
CRASH_AT = env.str("WELLRANGE_CRASH_AT", default="") if env.bool("WELLRANGE_FAULT_TESTS", default=False) else ""
