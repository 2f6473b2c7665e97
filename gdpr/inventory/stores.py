# SPDX-License-Identifier: AGPL-3.0-or-later
"""The places outside the database's tables, cookies included."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _

from gdpr.registry import (
    Audience,
    Cookie,
    Keep,
    Purpose,
    Role,
    Store,
    days,
    seconds,
)

SIGN_IN_COUNTERS = Store(
    key="sign-in-counters",
    title=_("Counters of sign-ins and mails, against guessing"),
    where="Redis, REDIS_URL, keys limit:*",
    personal=_("keyed hashes of e-mail addresses and network addresses"),
    role=Role.CONTROLLER,
    purposes=(Purpose.SECURITY,),
    keep=Keep(period=seconds("accounts.limits:DAY"), starts=_("after the last try")),
    eraser=_("expire by themselves; a hash cannot be turned back without the service's key"),
    audiences=(Audience.HOSTING,),
)

SMTP_COUNTERS = Store(
    key="smtp-counters",
    title=_("Counters of failed sign-ins at the mail service"),
    where="Redis, REDIS_URL, keys sign-in:*",
    personal=_("keyed hashes of network addresses"),
    role=Role.CONTROLLER,
    purposes=(Purpose.SECURITY,),
    keep=Keep(period=seconds("relay.limits:SIGN_IN_SECONDS"), starts=_("after the last try")),
    eraser=_("expire by themselves; a hash cannot be turned back without the service's key"),
    audiences=(Audience.HOSTING,),
)

BROKER = Store(
    key="broker",
    title=_("Work handed from process to process"),
    where="Redis, CELERY_BROKER_URL, queues of Celery",
    because="payloads hold ids only; a guard reads them",
)

PROCESS_LOGS = Store(
    key="process-logs",
    title=_("Logs of the processes"),
    where="standard output, kept by the operator's machine, in LOG_DIRECTORIES",
    because="no address, name or content is written; a guard reads them",
)

BACKUPS = Store(
    key="backups",
    title=_("Backups of the database"),
    where="where the operator keeps the dumps",
    personal=_("all that the database holds; contents of mail without the keys to read them"),
    role=Role.CONTROLLER,
    purposes=(Purpose.SERVICE, Purpose.SECURITY),
    keep=Keep(period=days("django.conf:settings.BACKUP_DAYS"), starts=_("after it was made")),
    eraser=_("age out; erasures are repeated before a restored backup is used"),
    audiences=(Audience.BACKUP,),
)

VAULT = Store(
    key="vault",
    title=_("Installation keys"),
    where="files, VAULT_URL",
    because="random keys",
)

KEYRING = Store(
    key="keyring",
    title=_("Hour keys"),
    where="files, KEYRING_URL",
    because="random keys, destroyed when no waiting mail needs them",
)

SEAL_KEYS = Store(
    key="seal-keys",
    title=_("Keys that sign documents"),
    where="files, SEAL_KEYS_URL",
    because="keys of the service; a person's key is never written down",
)

AUDIT_ANCHORS = Store(
    key="audit-anchors",
    title=_("Heads of the audit trail"),
    where="files, AUDIT_ANCHORS",
    because="ids of organisations, counts and digests",
)

ERASURE_JOURNAL = Store(
    key="erasure-journal",
    title=_("Journal of erasures, outside the database"),
    where="files, ERASURE_JOURNAL",
    personal=_("keyed hashes of the numbers of accounts, and of addresses, that were erased"),
    role=Role.CONTROLLER,
    purposes=(Purpose.RIGHTS,),
    keep=Keep(event=_("until no backup has the person any more, and a month")),
    eraser=_("its files go month by month; a hash cannot be turned back without the service's key"),
    audiences=(Audience.HOSTING,),
)

MIGRATIONS = Store(
    key="migrations",
    title=_("Changes made to the database's tables"),
    where="table django_migrations, which is no model",
    because="names of changes",
)

OWN_MAIL_SERVER = Store(
    key="own-mail-server",
    title=_("The mail server that carries the service's own mails"),
    where="EMAIL_URL",
    personal=_("address and text of a mail while it is on its way"),
    role=Role.CONTROLLER,
    purposes=(Purpose.ACCOUNT,),
    keep=Keep(event=_("until that server has passed the mail on")),
    eraser=_("leaves with the mail"),
    audiences=(Audience.MAIL,),
)

CUSTOMERS_SERVERS = Store(
    key="customers-servers",
    title=_("Customers' own mail servers"),
    where="hosts of relay.Route",
    personal=_("the mails that the customer sends"),
    role=Role.PROCESSOR,
    purposes=(Purpose.SERVICE,),
    keep=Keep(event=_("as the customer, whose server it is, decides")),
    eraser=_("the customer's own; the service tells the customer"),
    audiences=(Audience.MAIL_SERVERS,),
)

CUSTOMERS_PROVIDERS = Store(
    key="customers-providers",
    title=_("Customers' own accounts at mail providers"),
    where="provider of relay.Route",
    personal=_("the mails that the customer sends by its provider"),
    role=Role.PROCESSOR,
    purposes=(Purpose.SERVICE,),
    keep=Keep(event=_("as the customer, whose account it is, decides")),
    eraser=_("the customer's own; the service tells the customer"),
    audiences=(Audience.MAIL_SERVERS,),
)

LINKS = Store(
    key="links",
    title=_("Links in mails that carry what was typed at sign-up"),
    where="nowhere but in the mail itself",
    personal=_("what was typed at sign-up, encrypted, until the address is confirmed"),
    role=Role.CONTROLLER,
    purposes=(Purpose.ACCOUNT,),
    keep=Keep(
        period=days("accounts.signup:LINK_LIFETIME"),
        starts=_("after the mail was sent; then the link opens nothing"),
    ),
    eraser=_("the service keeps none of it"),
    audiences=(Audience.MAIL,),
)

PACKAGES = Store(
    key="packages",
    title=_("Files of packages to be fetched"),
    where="files, PACKAGES",
    personal=_("a copy of a person's data, encrypted, under a key that only its row has"),
    role=Role.CONTROLLER,
    purposes=(Purpose.RIGHTS,),
    keep=Keep(
        period=days("gdpr.models.packages:PACKAGE_DAYS"), starts=_("after the package was made")
    ),
    eraser=_("file and key are destroyed together, also when the person is erased"),
    audiences=(Audience.HOSTING,),
)

STORES = (
    PACKAGES,
    SIGN_IN_COUNTERS,
    SMTP_COUNTERS,
    BROKER,
    PROCESS_LOGS,
    BACKUPS,
    VAULT,
    KEYRING,
    SEAL_KEYS,
    AUDIT_ANCHORS,
    ERASURE_JOURNAL,
    MIGRATIONS,
    OWN_MAIL_SERVER,
    CUSTOMERS_SERVERS,
    CUSTOMERS_PROVIDERS,
    LINKS,
)

COOKIES = (
    Cookie(
        name="sessionid",
        what=_("knows that you are signed in"),
        keep=Keep(
            period=seconds("django.conf:settings.SESSION_COOKIE_AGE"),
            starts=_("after you signed in"),
        ),
    ),
    Cookie(
        name="csrftoken",
        what=_("keeps other sites from sending forms in your name"),
        keep=Keep(
            period=seconds("django.conf:settings.CSRF_COOKIE_AGE"),
            starts=_("after a page with a form"),
        ),
    ),
    Cookie(
        name="messages",
        what=_("holds what a page has to tell you until the next one shows it"),
        keep=Keep(event=_("until it is shown")),
    ),
    Cookie(
        name="browser",
        what=_("lets us tell you by mail when somebody signs in from a browser not seen before"),
        keep=Keep(
            period=seconds("accounts.signin:BROWSER_SECONDS"), starts=_("after you signed in")
        ),
    ),
)
