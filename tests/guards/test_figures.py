# SPDX-License-Identifier: AGPL-3.0-or-later
"""A period is a figure in one place: nothing that people read, and no other module, copies it."""

from __future__ import annotations

import ast
import html
import re
from collections.abc import Iterator
from math import prod
from pathlib import Path

import pytest
from babel.messages.pofile import read_po

from config.settings import BASE_DIR
from gdpr.inventory import STORES, stores, timed_entries
from gdpr.registry import Keep, Period

CATALOGUE = BASE_DIR / "config" / "locale" / "da" / "LC_MESSAGES" / "django.po"
ONES = "two|three|four|five|six|seven|eight|nine"
TEENS = "ten|eleven|twelve|(?:thir|four|fif|six|seven|eigh|nine)teen"
TENS = "twenty|thirty|forty|fifty|sixty|seventy|eighty|ninety"
DANISH_ONES = "to|tre|fire|fem|seks|syv|otte|ni"
DANISH_TEENS = "ti|elleve|tolv|(?:tret|fjort|femt|sekst|sytt|att|nitt)en"
DANISH_TENS = "tyve|tredive|fyrre|halvtreds|tres|halvfjerds|firs|halvfems"
NUMBERS = (
    rf"\d+|(?:{TENS})(?:[ -](?:one|{ONES}))?|{TEENS}|{ONES}"
    rf"|(?:(?:en|{DANISH_ONES})og)?(?:{DANISH_TENS})|{DANISH_TEENS}|{DANISH_ONES}"
)
# No table's period is counted in minutes.
UNITS = r"(?:day|hour|week|month|year)s?|dag(?:es?)?|døgn|timer?|uger?|måned(?:er)?|år"
A_SPAN = re.compile(rf"\b(?:(?:{NUMBERS})[ \u00a0\u2009\u202f-]|\d+)(?:{UNITS})\b", re.IGNORECASE)
# PostgreSQL: interval '30 days', '30 days'::interval, make_interval(days => 30).
AN_INTERVAL = re.compile(
    r"(?:\binterval\s*'(?=[^']*')|'(?=[^']*'\s*::\s*interval\b))\s*(\d+)\s*([a-z]+?)s?\s*'",
    re.IGNORECASE,
)
MADE_INTERVAL = re.compile(r"\bmake_interval\(\s*([a-z]+)\s*(?:=>|:=)\s*(\d+)", re.IGNORECASE)
TIMES_AN_INTERVAL = re.compile(r"\b(\d+)\s*\*\s*interval\s*'1\s+([a-z]+?)s?'", re.IGNORECASE)
A_DAY = 86_400
SECONDS = {"hours": 3600, "days": A_DAY}
LENGTHS = {"seconds": 1, "secs": 1, "minutes": 60, "mins": 60, "weeks": 7 * A_DAY, **SECONDS}
# Spans of time that are no period of keeping, each with the reason.
NO_PERIOD = {
    "The last 24 hours": "what the panel shows",
    "%(count)s in 7 days": "what the panel shows",
    "Take three months from receipt, and tell the person why": "GDPR article 12(3)",
    "We need three months from receipt, and have told the person why": "GDPR article 12(3)",
}
NO_PERIOD_IN_TEMPLATES = {
    ("templates/relay/panels/figures.html", "24 hours"): "what the panel shows",
    ("templates/relay/panels/figures.html", "7 days"): "what the panel shows",
}
# Lengths in code that happen to equal a period.
NO_COPY = {
    ("relay/verification.py", "hours", 72): "how long a domain's proof outlives its record",
    ("relay/verification.py", "days", 3): "the same",
    ("relay/dkimkeys.py", "hours", 72): "how long a key signs on without its record",
    ("relay/dkimkeys.py", "days", 3): "the same",
    ("relay/smtp/dkim.py", "days", 7): "how long a signature holds",
    ("gdpr/deadlines.py", "days", 30): "until when an answer is promised",
    ("gdpr/ledger.py", "days", 30): "how long an erasure is remembered after the last backup",
    ("gdpr/promises.py", "days", 30): "how far back answers are looked at",
    ("accounts/consents.py", "days", 7): "how long a link confirms a consent",
    ("gdpr/enquiries/proving.py", "days", 3): "how long a link confirms a request",
    ("gdpr/erasing/certificate.py", "days", 90): "how long a link opens the certificate",
    ("gdpr/rights/erasure.py", "hours", 72): "how long an erasure can be cancelled",
    ("gdpr/rights/erasure.py", "days", 3): "the same",
    ("gdpr/rights/rectification.py", "days", 3): "how long a link confirms an address",
    ("gdpr/rights/restriction.py", "days", 3): "between the word that a restriction ends and that",
    ("gdpr/propagation.py", "days", 7): "how long staff may take to tell a recipient",
    ("gdpr/propagation.py", "days", 30): "how far back is looked for what nobody was told of",
    ("gdpr/models/claims.py", "days", 7): "how long a link proves who asks",
    ("relay/smtp/schedule.py", "hours", 120): "the same bound, in code without models; a test"
    " holds it against QUEUE_HOURS_MAX",
    ("relay/counting.py", "days", 90): "how long figures are kept by hours; they hold no address",
    ("relay/promises.py", "hours", 2): "how far back a check that comes each hour looks",
    ("relay/hourkeys.py", "hours", 2): "how long a key may lack its row",
    ("config/stack/tls.py", "days", 30): "when a certificate is renewed",
    ("gdpr/sealkeys.py", "days", 30): "when a certificate is renewed",
    ("gdpr/escalation.py", "days", 7): "when a person is reminded of a question",
}


def _periods() -> Iterator[Period]:
    keeps: list[Keep | None] = [entry.keep for entry in timed_entries()]
    keeps += [store.keep for store in STORES] + [cookie.keep for cookie in stores.COOKIES]
    for keep in keeps:
        if keep and keep.period:
            yield keep.period


def _texts() -> Iterator[tuple[str, str]]:
    """Every text in the catalogue with its translation, forms of plural one by one."""
    with CATALOGUE.open("rb") as file:
        for message in read_po(file, locale="da"):
            ids = [message.id] if isinstance(message.id, str) else list(message.id)
            strings = [message.string] if isinstance(message.string, str) else message.string
            for text in [*ids, *strings]:
                yield ids[0], text


def copies_in_texts(texts: Iterator[tuple[str, str]]) -> list[str]:
    return [text for name, text in texts if name not in NO_PERIOD and A_SPAN.search(text)]


def test_no_text_names_a_period() -> None:
    assert copies_in_texts(_texts()) == []


@pytest.mark.parametrize(
    "text", ["after 30 days", "inden tre dage", "72 timer senere", "a 7-day", "i tredive dage"]
)
def test_a_copy_in_a_text_is_found(text: str) -> None:
    assert copies_in_texts(iter([("x", text)])) == [text]


def test_what_is_let_through_is_there() -> None:
    names = {name for name, _ in _texts()}
    assert set(NO_PERIOD) <= names


def spans(page: str) -> list[str]:
    """Return the spans of time that a page writes out, as they read without their mark-up."""
    bare = re.sub(r"\{\{\s*(\d+)\s*\}\}", r"\1", re.sub(r"<[^>]*>", "", page))
    return A_SPAN.findall(re.sub(r"\s+", " ", html.unescape(bare)))


def test_no_template_names_a_period() -> None:
    pages = [
        path for place in ("templates", "dpa/text") for path in (BASE_DIR / place).rglob("*.*")
    ]
    assert len(pages) > 100
    found = {
        (str(path.relative_to(BASE_DIR)), span)
        for path in pages
        for span in spans(path.read_text())
    }
    assert found == set(NO_PERIOD_IN_TEMPLATES)


@pytest.mark.parametrize(
    ("page", "span"),
    [
        ("<p>i tredive dage.</p>", "tredive dage"),
        ("for thirty days", "thirty days"),
        ("enogtyve\n  dage", "enogtyve dage"),
        ("twenty-one days", "twenty-one days"),
        ("30&nbsp;dage", "30 dage"),
        ("<b>30</b> dage", "30 dage"),
        ("30&#8239;dage", "30 dage"),
        ("30&thinsp;dage", "30 dage"),
        ("30\u202fdage", "30 dage"),
        ("{{ 30 }} dage", "30 dage"),
        ("30dage", "30dage"),
        ("tolv døgn", "tolv døgn"),
    ],
)
def test_a_copy_in_a_template_is_found(page: str, span: str) -> None:
    assert spans(page) == [span]


def _modules() -> Iterator[Path]:
    for app in ("accounts", "relay", "gdpr", "dpa", "config"):
        yield from (BASE_DIR / app).rglob("*.py")


def _figures() -> set[tuple[str, int]]:
    return {(period.unit.value, period.figure) for period in _periods()}


def lengths(source: str) -> Iterator[tuple[str, int]]:
    """Yield unit and number of each length of time that is written out, whole days as days too.

    That is a timedelta, also of a constant of the module, a product with the seconds of an hour or
    a day, a bare number of so many seconds, an interval of SQL. A constant that says its unit is
    one wherever it is used.
    """
    tree = ast.parse(source)
    names = dict(_constants(tree))
    for name, number in names.items():
        if (unit := name.rpartition("_")[2].lower()) in SECONDS:
            yield from _in_every_unit({unit: number})
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("timedelta"):
            yield from _of_a_timedelta(node, names)
        elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult):
            yield from _of_a_product(node, names)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield from _of_an_interval(node.value)
        elif isinstance(node, ast.Constant) and type(node.value) is int and node.value >= A_DAY:
            yield from _of_seconds(node.value)


def _constants(tree: ast.Module) -> Iterator[tuple[str, int]]:
    for node in tree.body:
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
            number = _number(node.value, {})
            for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
                if isinstance(target, ast.Name) and number is not None:
                    yield target.id, number


def _number(node: ast.expr, names: dict[str, int]) -> int | None:
    """Return a number without its sign: written out, a constant of the module, or a product."""
    if isinstance(node, ast.Constant) and type(node.value) is int:
        return node.value
    if isinstance(node, ast.Name):
        return names.get(node.id)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return _number(node.operand, names)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult):
        left, right = _number(node.left, names), _number(node.right, names)
        return None if left is None or right is None else left * right
    return None


def _of_a_timedelta(call: ast.Call, names: dict[str, int]) -> Iterator[tuple[str, int]]:
    parts = [(word.arg, word.value) for word in call.keywords]
    # The order of arguments is that of datetime.timedelta: the first are the days.
    found = {
        unit: number
        for unit, value in [*zip(("days", "seconds"), call.args, strict=False), *parts]
        if unit and (number := _number(value, names)) is not None
    }
    yield from _in_every_unit(found)


def _in_every_unit(found: dict[str, int]) -> Iterator[tuple[str, int]]:
    """Yield what is written, then the whole as days: 720 hours are 30 days."""
    yield from found.items()
    seconds = sum(number * LENGTHS.get(unit, 0) for unit, number in found.items())
    if seconds and seconds % A_DAY == 0:
        yield "days", seconds // A_DAY


def _of_a_product(product: ast.BinOp, names: dict[str, int]) -> Iterator[tuple[str, int]]:
    # A module may have these from another.
    known = {"DAY": A_DAY, "HOUR": 3600} | names
    values = [_value(node, known) for node in _factors(product)]
    seconds = prod(value or 0 for value in values)
    if seconds and ({3600, A_DAY} & set(values) or values.count(60) > 1):
        yield from _of_seconds(seconds)


def _value(node: ast.expr, names: dict[str, int]) -> int | None:
    """Return a number, or the seconds of a timedelta."""
    if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("timedelta"):
        return dict(_of_a_timedelta(node, names)).get("days", 0) * A_DAY
    return _number(node, names)


def _factors(node: ast.expr) -> Iterator[ast.expr]:
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult):
        yield from _factors(node.left)
        yield from _factors(node.right)
    else:
        yield node


def _of_seconds(seconds: int) -> Iterator[tuple[str, int]]:
    yield from ((unit, seconds // one) for unit, one in SECONDS.items() if seconds % one == 0)


def _of_an_interval(text: str) -> Iterator[tuple[str, int]]:
    for number, unit in AN_INTERVAL.findall(text):
        yield from _in_every_unit({unit.lower() + "s": int(number)})
    for unit, number in MADE_INTERVAL.findall(text):
        yield from _in_every_unit({unit.lower(): int(number)})
    for number, unit in TIMES_AN_INTERVAL.findall(text):
        yield from _in_every_unit({unit.lower() + "s": int(number)})


def test_no_module_writes_out_a_period() -> None:
    """The owners name a constant; whoever writes the number out has copied it, or says why not."""
    figures = _figures()
    owners = {period.constant.partition(":")[0].replace(".", "/") + ".py" for period in _periods()}
    assert len(figures) > 5
    found = {
        (str(path.relative_to(BASE_DIR)), unit, number)
        for path in _modules()
        for unit, number in lengths(path.read_text())
        if (unit, number) in figures
    }
    assert {copy for copy in found if copy[0] not in owners} == set(NO_COPY)


@pytest.mark.parametrize(
    "line",
    [
        "limit = now - timedelta(days=30)",
        "limit = now - timedelta(30)",
        "limit = 30 * 86400",
        "limit = 30 * 24 * 3600",
        "limit = 60 * (60 * 24) * 30",
        "query = \"SELECT now() - interval '30 days'\"",
        "query = f\"DELETE FROM {table} WHERE at < now() - INTERVAL '30 day'\"",
        "query = \"SELECT '30 days'::interval\"",
        'query = "SELECT make_interval(days => 30)"',
        'query = "SELECT make_interval(days := 30)"',
        "query = \"SELECT now() - interval '720 hours'\"",
        "query = \"SELECT now() - 30 * interval '1 day'\"",
        "limit = now + timedelta(days=-30)",
        "limit = now - timedelta(hours=720)",
        "limit = now - timedelta(weeks=4, days=2)",
        "limit = now - timedelta(days=2 * 15)",
        "limit = 2592000",
        "limit = 2_592_000",
        "KEPT = 30\nlimit = now - timedelta(days=KEPT)",
        "KEPT: int = 30\nlimit = now - timedelta(KEPT)",
        "KEPT_DAYS = 30",
        "DAYS = 30",
        "KEPT_HOURS = 720",
        "DAY = 86400\nlimit = DAY * 30",
        "from accounts.limits import DAY\nlimit = 30 * DAY",
        "limit = now - 30 * timedelta(days=1)",
    ],
)
def test_a_copy_in_a_module_is_found(line: str) -> None:
    assert ("days", 30) in set(lengths(line))


def numbers(script: str) -> set[int]:
    """Return the whole numbers of a script, those of its comments and texts included."""
    return {int(word.replace("_", "")) for word in re.findall(r"(?<![\w.])\d[\d_]*", script)}


def copies_in_script(script: str) -> set[int]:
    figures = {number for _, number in _figures()}
    seconds = {number * SECONDS[unit] for unit, number in _figures() if unit in SECONDS}
    return numbers(script) & {*figures, *seconds, *(1000 * number for number in seconds)}


def test_no_script_writes_out_a_period() -> None:
    scripts = [path.read_text() for path in (BASE_DIR / "static").rglob("*.js")]
    assert scripts
    assert [copies_in_script(script) for script in scripts] == [set()] * len(scripts)


@pytest.mark.parametrize("number", ["30", "2592000", "2_592_000", "2592000000"])
def test_a_copy_in_a_script_is_found(number: str) -> None:
    assert copies_in_script(f"const kept = {number};") == {int(number)}
