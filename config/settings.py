# SPDX-License-Identifier: AGPL-3.0-or-later
"""Every setting, read from the environment once; `.env.example` explains each variable."""

from __future__ import annotations

from datetime import date
from ipaddress import ip_network
from pathlib import Path

import environ
from django.utils.translation import gettext_lazy as _


def _day(text: str) -> str:
    """Return a day as it was written. Raises ValueError when it is none (ISO 8601)."""
    return date.fromisoformat(text).isoformat()


def _month(text: str) -> int:
    """Return the number of a month. Raises ValueError when it is none."""
    return date(2000, int(text), 1).month


BASE_DIR = Path(__file__).resolve().parent.parent

env = environ.FileAwareEnv()
# The environment wins over the operator's file, and that over what the launcher wrote.
for file in (BASE_DIR / ".env", BASE_DIR / "var" / "stack.env"):
    if file.is_file():
        env.read_env(str(file))

# Service
DEBUG = env.bool("DEBUG", default=False)
SECRET_KEY = env.str("SECRET_KEY")
SITE_URL = env.str("SITE_URL", default="http://127.0.0.1:8000")
ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", default=["127.0.0.1", "localhost"])
CSRF_TRUSTED_ORIGINS = [SITE_URL]
CSRF_FAILURE_VIEW = "config.errors.form_refused"
OPERATOR_EMAIL = env.str("OPERATOR_EMAIL", default="operator@brevdue.example")
# Who runs the service, as agreements, notices and letters name them.
OPERATOR_NAME = env.str("OPERATOR_NAME", default="Brevdue ApS")
OPERATOR_ADDRESS = env.str("OPERATOR_ADDRESS", default="Eksempelvej 1")
OPERATOR_POSTCODE = env.str("OPERATOR_POSTCODE", default="1000")
OPERATOR_CITY = env.str("OPERATOR_CITY", default="København K")
OPERATOR_COUNTRY = env.str("OPERATOR_COUNTRY", default="DK")
OPERATOR_COMPANY_NUMBER = env.str("OPERATOR_COMPANY_NUMBER", default="10000009")
PRIVACY_CONTACT = env.str("PRIVACY_CONTACT", default="Databeskyttelse")
PRIVACY_EMAIL = env.str("PRIVACY_EMAIL", default="privacy@brevdue.example")
PRIVACY_PHONE = env.str("PRIVACY_PHONE", default="")
# The address of a member of staff who stands in where a second privacy officer is needed.
PRIVACY_DEPUTY = env.str("PRIVACY_DEPUTY", default="")
# Whom people can complain to: every answer to a request names it (GDPR article 12(4)).
AUTHORITY_NAME = env.str("AUTHORITY_NAME", default="Datatilsynet")
AUTHORITY_ADDRESS = env.str("AUTHORITY_ADDRESS", default="Carl Jacobsens Vej 35, 2500 Valby")
AUTHORITY_PHONE = env.str("AUTHORITY_PHONE", default="+45 33 19 32 00")
AUTHORITY_URL = env.str("AUTHORITY_URL", default="https://www.datatilsynet.dk")
OPERATOR_STATEMENTS_BY = env.str("OPERATOR_STATEMENTS_BY", default="")
# A day such as 2026-11-01, or empty: it is printed in every agreement.
OPERATOR_STATEMENTS_ON = env("OPERATOR_STATEMENTS_ON", cast=_day, default="")
TRUSTED_PROXIES = env.list("TRUSTED_PROXIES", cast=ip_network, default=[])
# Personal data go to recipients inside the European Economic Area alone.
EEA_ONLY = env.bool("EEA_ONLY", default=True)
# Days after which the operator's last backup of a day is gone; notices and certificates print it.
BACKUP_DAYS = env.int("BACKUP_DAYS", default=30)
# The operator's financial year ends with the last day of this month: bookkeeping counts from there.
FINANCIAL_YEAR_LAST_MONTH = env("FINANCIAL_YEAR_LAST_MONTH", cast=_month, default=12)
TEST_CLOCK_FILE = env.str("TEST_CLOCK_FILE", default="")

INSTALLED_APPS = [
    "config",
    "dpa",
    "gdpr",
    "relay",
    "accounts",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.postgres",
    "django.forms",
    "django_htmx",
    "django_otp",
]

MIDDLEWARE = [
    "config.csp.content_security_policy",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django_otp.middleware.OTPMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    # Last: it calls the view itself, inside the database context of who is signed in.
    "accounts.middleware.TenancyMiddleware",
]

ROOT_URLCONF = "config.urls"
WSGI_APPLICATION = "config.wsgi.application"
FORM_RENDERER = "django.forms.renderers.TemplatesSetting"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "config.context.portal",
            ],
        },
    }
]

# Database: each kind of process connects as a role of its own (accounts/database.py).
DATABASE_ROLE = env.str("DATABASE_ROLE", default="web")
DATABASE_VARIABLES = {
    "owner": "DATABASE_URL",
    "web": "WEB_DATABASE_URL",
    "relay": "RELAY_DATABASE_URL",
    "duty": "DUTY_DATABASE_URL",
    "backup": "BACKUP_DATABASE_URL",
}
# Beat and the development mailbox connect as nobody (role `none`).
DATABASES = {}
if DATABASE_ROLE != "none":
    DATABASES["default"] = env.db_url(DATABASE_VARIABLES[DATABASE_ROLE])
    DATABASES["default"]["CONN_MAX_AGE"] = 60
    DATABASES["default"]["CONN_HEALTH_CHECKS"] = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# Redis wakes and paces; nothing is lost with it.
REDIS_URL = env.str("REDIS_URL")
CELERY_BROKER_URL = REDIS_URL

# Secrets at rest
VAULT_URL = env.str("VAULT_URL")
VAULT_MAKE_KEYS = env.bool("VAULT_MAKE_KEYS", default=not SITE_URL.startswith("https://"))
KEYRING_URL = env.str("KEYRING_URL", default="")
AUDIT_ANCHORS = env.str("AUDIT_ANCHORS", default=str(BASE_DIR / "var" / "audit"))
# Packages of personal data on their way to the person, each under a key of its own.
PACKAGES = env.str("PACKAGES", default=str(BASE_DIR / "var" / "packages"))
SEAL_KEYS_URL = env.str("SEAL_KEYS_URL", default=(BASE_DIR / "var" / "seal").as_uri())
SEAL_PKCS12 = env.str("SEAL_PKCS12", default="")
SEAL_PKCS12_PASSWORD = env.str("SEAL_PKCS12_PASSWORD", default="")
SEAL_TRUST = env.str("SEAL_TRUST", default="")
ERASURE_JOURNAL = env.str("ERASURE_JOURNAL", default=str(BASE_DIR / "var" / "erasures"))
LOG_DIRECTORIES = env.list("LOG_DIRECTORIES", default=[])

# People
AUTH_USER_MODEL = "accounts.User"
SESSION_ENGINE = "accounts.sessions"
SESSION_COOKIE_AGE = 12 * 3600
SESSION_COOKIE_SAMESITE = "Lax"
PASSWORD_HASHERS = ["django.contrib.auth.hashers.Argon2PasswordHasher"]
PASSWORD_LENGTH = env.int("PASSWORD_LENGTH", default=12)
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "accounts.passwords.LengthValidator"},
    {"NAME": "accounts.passwords.DigitsValidator"},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {
        "NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator",
        "OPTIONS": {"user_attributes": ("email", "first_name", "last_name")},
    },
]
LOGIN_URL = "accounts:sign-in"
LOGIN_REDIRECT_URL = "home"

# Uploads (accounts/uploads.py): 5 MiB, the most that any page takes, with a form around them
FILE_UPLOAD_HANDLERS = ["django.core.files.uploadhandler.MemoryFileUploadHandler"]
FILE_UPLOAD_MAX_MEMORY_SIZE = (5 * 1024 + 16) * 1024

# Own mail
EMAIL_CONFIG = env.email_url("EMAIL_URL", default="smtp://127.0.0.1:1025")
vars().update(EMAIL_CONFIG)
if EMAIL_CONFIG["EMAIL_BACKEND"] == "django.core.mail.backends.smtp.EmailBackend":
    EMAIL_BACKEND = "accounts.mailbackend.Smtp"
EMAIL_TIMEOUT = 30
DEFAULT_FROM_EMAIL = env.str("DEFAULT_FROM_EMAIL", default="Brevdue <post@brevdue.example>")

# Agreements with customers (dpa)
AGREEMENT_COURT = env.str("AGREEMENT_COURT", default="Københavns Byret")
AGREEMENT_COUNTERSIGNING = env.str("AGREEMENT_COUNTERSIGNING", default="automatic")
ASSISTANCE_HOURLY_RATE = env.int("ASSISTANCE_HOURLY_RATE", default=650)
VAT_PERCENT = env.int("VAT_PERCENT", default=25)
SUBPROCESSOR_OBJECTION_DAYS = env.int("SUBPROCESSOR_OBJECTION_DAYS", default=30)

# Relay
RELAY_HOSTNAME = env.str("RELAY_HOSTNAME", default="relay.brevdue.example")
SMTP_HOST = env.str("SMTP_HOST", default="127.0.0.1")
SMTP_PORT = env.int("SMTP_PORT", default=2525)
SMTPS_PORT = env.int("SMTPS_PORT", default=4650)
SMTP_TLS_CERT = env.str("SMTP_TLS_CERT", default="")
SMTP_TLS_KEY = env.str("SMTP_TLS_KEY", default="")
SMTP_BALANCERS = env.list("SMTP_BALANCERS", cast=ip_network, default=[])
SMTP_CONNECTIONS = env.int("SMTP_CONNECTIONS", default=1_000)
SMTP_CONNECTIONS_PER_ADDRESS = env.int("SMTP_CONNECTIONS_PER_ADDRESS", default=512)
SMTP_MEMORY = env.int("SMTP_MEMORY", default=134_217_728)
RELAY_CA_FILE = env.str("RELAY_CA_FILE", default="")
RELAY_RESOLVER = env.list("RELAY_RESOLVER", default=[])
RELAY_DEVELOPMENT_DOMAINS = env.bool("RELAY_DEVELOPMENT_DOMAINS", default=False)
RELAY_ALLOW_PLAINTEXT_AUTH = env.bool("RELAY_ALLOW_PLAINTEXT_AUTH", default=False)
RELAY_EGRESS_LOOPBACK_PORTS = env.list("RELAY_EGRESS_LOOPBACK_PORTS", cast=int, default=[])
RELAY_OWN_ADDRESSES = env.list("RELAY_OWN_ADDRESSES", default=[])
RELAY_SHIFTS = env.int("RELAY_SHIFTS", default=1)
BOUNCE_PORT = env.int("BOUNCE_PORT", default=2526)
RELAY_BOUNCE_DOMAIN = env.str("RELAY_BOUNCE_DOMAIN", default="")
RELAY_SPF_INCLUDE = env.str("RELAY_SPF_INCLUDE", default="")
if RELAY_BOUNCE_DOMAIN and not RELAY_SPF_INCLUDE:
    RELAY_SPF_INCLUDE = f"_spf.{RELAY_BOUNCE_DOMAIN}"
RELAY_DIRECT = env.bool("RELAY_DIRECT", default=False)
RELAY_DIRECT_PORT = env.int("RELAY_DIRECT_PORT", default=25)
RELAY_DIRECT_CONNECTIONS = env.int("RELAY_DIRECT_CONNECTIONS", default=20)
RELAY_SOURCE_IPV4 = env.str("RELAY_SOURCE_IPV4", default="")
RELAY_SOURCE_IPV6 = env.str("RELAY_SOURCE_IPV6", default="")
RELAY_ESP_THREADS = env.int("RELAY_ESP_THREADS", default=8)
RELAY_ESP_URLS = env.dict("RELAY_ESP_URLS", default={})
SUPPRESSION_DAYS = env.int("SUPPRESSION_DAYS", default=90)
DOWNLOADS_AT_ONCE = env.int("DOWNLOADS_AT_ONCE", default=2)
MAILBOX_PORT = env.int("MAILBOX_PORT", default=1025)

# Languages: Danish without prefix, English under /en/.
LANGUAGE_CODE = "da"
LANGUAGES = [("da", _("Danish")), ("en", _("English"))]
LOCALE_PATHS = [BASE_DIR / "config" / "locale"]
FORMAT_MODULE_PATH = "config.formats"
USE_TZ = True
TIME_ZONE = "UTC"

# Static files
STATIC_URL = "static/"
STATICFILES_DIRS = [BASE_DIR / "static"]
# Served from where they lie: there is no build step, so there is nothing to collect either.
WHITENOISE_USE_FINDERS = True

# Transport security; a development stack on loopback has no TLS in front of the portal.
SECURE_COOKIES = SITE_URL.startswith("https://")
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = SECURE_COOKIES
SECURE_SSL_REDIRECT = SECURE_COOKIES
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if SECURE_COOKIES else None
SECURE_HSTS_SECONDS = 365 * 24 * 3600 if SECURE_COOKIES else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = SECURE_COOKIES
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"

# mail.log of aiosmtpd prints addresses at INFO and message text at DEBUG, pyHanko the names of who
# signed: both stay silent.
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"plain": {"format": "{asctime} {levelname} {name} {message}", "style": "{"}},
    "filters": {"routes": {"()": "config.logs.RouteNotPath"}},
    "handlers": {
        "console": {"class": "logging.StreamHandler", "formatter": "plain", "filters": ["routes"]}
    },
    "root": {"handlers": ["console"], "level": env.str("LOG_LEVEL", default="INFO")},
    "loggers": {
        "mail": {"level": "CRITICAL", "handlers": [], "propagate": False},
        "pyhanko": {"level": "CRITICAL", "handlers": [], "propagate": False},
        "pyhanko_certvalidator": {"level": "CRITICAL", "handlers": [], "propagate": False},
    },
}
