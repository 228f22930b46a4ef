"""All configuration, read from the environment once, from top to bottom. The README lists the variables."""

import sys
from datetime import timedelta
from pathlib import Path

import dj_database_url
import django_stubs_ext
from csp.constants import SELF
from django.core.exceptions import ImproperlyConfigured

from kroma_site import env, keys

django_stubs_ext.monkeypatch()

BASE_DIR = Path(__file__).resolve().parent.parent
TESTING = "pytest" in sys.modules
DEBUG = env.flag("KROMA_DEBUG", False)  # the one switch of a development copy

# --- Places -----------------------------------------------------------------------------------------
DATA_DIR = env.folder("KROMA_DATA_DIR", BASE_DIR / "var")
APP_ROOT = env.folder("KROMA_APP_ROOT", DATA_DIR if env.text("KROMA_DATA_DIR") else BASE_DIR)
BACKEND_DIR = DATA_DIR / "backend"
MODELS_DIR = env.folder("KROMA_MODELS_DIR", DATA_DIR / "models")
INPUT_ROOTS = [Path(word).resolve() for word in env.words("KROMA_INPUT_ROOTS")]
BIND = env.text("KROMA_BACKEND_BIND", "127.0.0.1:8788")

# --- Keys -------------------------------------------------------------------------------------------
if TESTING or DEBUG:
    SECRET_KEY = env.text("KROMA_SECRET_KEY", "insecure-development-key-insecure-development-key")
    AUDIT_KEY = env.text("KROMA_AUDIT_KEY", "insecure-development-key-insecure-development-key")
else:
    SECRET_KEY = env.text("KROMA_SECRET_KEY") or keys.read_or_create(BACKEND_DIR / "signing.key")
    AUDIT_KEY = env.text("KROMA_AUDIT_KEY") or keys.read_or_create(BACKEND_DIR / "audit.key")
OWN_SECRET_KEY = env.text("KROMA_SECRET_KEY") is not None
# Encrypts the secrets of projects. Without a value here it lies in a file, which the first start makes.
MASTER_KEY = keys.checked_master_key(env.variable("IAT_MASTER_KEY"), "IAT_MASTER_KEY")
MASTER_KEY_FILE = env.folder("IAT_MASTER_KEY_FILE", BACKEND_DIR / "master.key")
MASTER_KEY_REF = env.text("IAT_MASTER_KEY_REF", "local-master")
MASTER_KEYS_PREVIOUS = [
    keys.checked_master_key(key, "IAT_MASTER_KEY_PREVIOUS") for key in env.words("IAT_MASTER_KEY_PREVIOUS")
]

# --- The API ----------------------------------------------------------------------------------------
API_AUTH_DEV_BYPASS = env.flag("KROMA_API_AUTH_DEV_BYPASS", False)  # no tokens, on this machine only
# Whether the first token may be made without one, on this machine; `once` means never again after that.
API_AUTH_FIRST_TOKEN = env.flag("KROMA_API_AUTH_BOOTSTRAP_FIRST_TOKEN", True)
API_AUTH_FIRST_TOKEN_ONCE = env.flag("KROMA_API_AUTH_BOOTSTRAP_ONCE", False)

# --- Agents -----------------------------------------------------------------------------------------
# Who carries out confirmed instructions; without these, each project's own secrets `agent_api` say it.
AGENT_API_URL = env.web_address("IAT_AGENT_API_URL")
AGENT_API_TOKEN = env.text("IAT_AGENT_API_TOKEN", "")
# Where agents find this workspace, to report back; `up` fills it in from the address that it listens at.
PUBLIC_URL = env.web_address("KROMA_PUBLIC_URL", f"http://{BIND}").rstrip("/")

# --- Web --------------------------------------------------------------------------------------------
ALLOWED_HOSTS = env.words("KROMA_ALLOWED_HOSTS") or ["127.0.0.1", "localhost", "[::1]"]
OWN_ALLOWED_HOSTS = bool(env.words("KROMA_ALLOWED_HOSTS"))
CSRF_TRUSTED_ORIGINS = env.words("KROMA_TRUSTED_ORIGINS")
BEHIND_TLS = env.flag("KROMA_BEHIND_TLS", False)  # a proxy in front speaks https
if BEHIND_TLS:
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    SECURE_HSTS_SECONDS = 31536000
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = BEHIND_TLS
SESSION_COOKIE_NAME = "kroma_session"
SESSION_COOKIE_AGE = 14 * 24 * 3600
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
ROOT_URLCONF = "kroma_site.urls"
WSGI_APPLICATION = "kroma_site.wsgi.application"
APPEND_SLASH = False
# Images arrive as files on disk; what a form holds besides them is small.
DATA_UPLOAD_MAX_MEMORY_SIZE = 5 * 1024 * 1024
DATA_UPLOAD_MAX_NUMBER_FILES = 500
FILE_UPLOAD_MAX_MEMORY_SIZE = 1024 * 1024
FILE_UPLOAD_PERMISSIONS = 0o640
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [SELF],
        "img-src": [SELF, "data:"],
        "object-src": ["'none'"],
        "base-uri": [SELF],
        "form-action": [SELF],
        "frame-ancestors": ["'none'"],
    }
}

INSTALLED_APPS = [
    "kroma_site",
    "bootstrap",
    "pipeline",
    "projects",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "django_htmx",
    "django_q",
    "ninja",
    "template_partials",
    "axes",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "kroma_site.edge.api_edge",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.auth.middleware.LoginRequiredMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "kroma_site.middleware.principal",
    "kroma_site.middleware.refusals",
    "axes.middleware.AxesMiddleware",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "builtins": ["template_partials.templatetags.partials"],
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "projects.context.workspace",
            ],
        },
    }
]

# --- Database ---------------------------------------------------------------------------------------
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
DATABASE_FILE = Path(env.text("KROMA_BACKEND_DB", str(BACKEND_DIR / "app.db"))).absolute()
DATABASE_URL = env.text("KROMA_DATABASE_URL")
if DATABASE_URL:
    try:
        DATABASES = {"default": dj_database_url.parse(DATABASE_URL, conn_max_age=60, conn_health_checks=True)}
    except (ValueError, dj_database_url.ParseError) as error:
        # The address may hold a password, so the message does not repeat it.
        raise ImproperlyConfigured(
            "KROMA_DATABASE_URL is not a database address such as postgresql://user@host/name"
        ) from error
    _options = DATABASES["default"].setdefault("OPTIONS", {})
    _options["options"] = f"{_options.get('options', '')} -c synchronous_commit=on".strip()
else:
    DATABASES = {
        "default": {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": str(DATABASE_FILE),
            "CONN_MAX_AGE": 60,  # opening it anew for each request costs more than most questions to it
            "OPTIONS": {
                "transaction_mode": "IMMEDIATE",
                "timeout": 20,  # seconds to wait for the write lock
                "init_command": "PRAGMA journal_mode=WAL;PRAGMA synchronous=FULL;PRAGMA mmap_size=134217728;"
                "PRAGMA journal_size_limit=67108864;PRAGMA cache_size=-8000;PRAGMA temp_store=MEMORY;",
            },
        }
    }

# --- Queue and workers ------------------------------------------------------------------------------
WORKERS = env.integer("KROMA_WORKERS", 2, minimum=1, maximum=64)  # processes
TASK_TIMEOUT = env.integer("KROMA_TASK_TIMEOUT", 600, minimum=30)  # seconds
COMMAND_TIMEOUT = env.integer("KROMA_COMMAND_TIMEOUT_SECONDS", 300, minimum=1)  # of an external program
LEASE_SECONDS = env.integer("KROMA_LEASE_SECONDS", 30, minimum=3)
REDIS_URL = env.text("KROMA_REDIS_URL")
Q_CLUSTER = {
    "name": "kroma",
    **({"redis": REDIS_URL} if REDIS_URL else {"orm": "default"}),
    "workers": WORKERS,
    "queue_limit": WORKERS,
    "bulk": 1,
    "poll": 0.1,
    "timeout": TASK_TIMEOUT,
    "retry": 3 * TASK_TIMEOUT + 60,
    "recycle": 10**9,  # a process that is replaced would look like one that died
    "ack_failures": True,
    "max_attempts": 1,
    "catch_up": False,
    "save_limit": -1,  # the rows hold what came of a task; its result is noise
    "sync": TESTING,
    "scheduler": False,
    "log_level": "WARNING",
}
CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}

# --- People -----------------------------------------------------------------------------------------
AUTH_USER_MODEL = "projects.User"
AUTHENTICATION_BACKENDS = [
    "axes.backends.AxesStandaloneBackend",  # first: it refuses whoever is locked out
    "django.contrib.auth.backends.ModelBackend",
]
# Wrong passwords of one name from one address, counted in the database so that it holds for all processes.
AXES_FAILURE_LIMIT = 5
AXES_COOLOFF_TIME = timedelta(minutes=15)
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
AXES_RESET_ON_SUCCESS = True
AXES_RESET_COOL_OFF_ON_FAILURE_DURING_LOCKOUT = False  # who keeps trying does not wait for longer
AXES_DISABLE_ACCESS_LOG = True  # the audit trail and `last_login` know enough
AXES_LOCKOUT_CALLABLE = "projects.views.people.locked_out"
AXES_VERBOSE = False
AXES_ENABLE_ADMIN = False  # only what unlocks somebody is shown, by projects.admin
LOGIN_URL = "projects:signin"
LOGIN_REDIRECT_URL = "pipeline:project-list"
LOGOUT_REDIRECT_URL = "projects:signin"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 12}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
if TESTING:
    PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]

# --- Words and files --------------------------------------------------------------------------------
LANGUAGE_CODE = "en-gb"
TIME_ZONE = "UTC"
USE_TZ = True
STATIC_URL = "static/"
STATICFILES_DIRS = [BASE_DIR / "static"]
WHITENOISE_USE_FINDERS = True  # no build step: files are served from where they lie
WHITENOISE_AUTOREFRESH = DEBUG or TESTING

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "{asctime} {levelname} {name}: {message}", "style": "{"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["console"], "level": "WARNING"},
    "loggers": {
        "projects": {"level": "INFO"},
        "pipeline": {"level": "INFO"},
        "kroma_site": {"level": "INFO"},
        "django-q": {"handlers": [], "level": "WARNING"},
        "axes": {"level": "ERROR"},  # a wrong password is no fault of the service
    },
}
