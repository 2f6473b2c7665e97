# SPDX-License-Identifier: AGPL-3.0-or-later
"""Words for other people in one package (GDPR article 15(4)), wherever they stand in a value.

Somebody is known by an address, a number, a phone number or a name. What stands for them is the
same for all of these, good in one package only, and counted. Whom somebody has decided to release
stays as they are. No table is read here: gdpr/acquaintances.py says who is around a person.
"""

from __future__ import annotations

import hmac
import re
import secrets
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TypeAlias

from relay.suppressing import normalised

Value: TypeAlias = "str | int | float | bool | list[Value] | dict[str, Value] | None"

# What separates the two halves, also where it is written around or encoded for a link.
_AT = r"(?:@|\uff20|%40|&#0?64;|&commat;| ?[\[({] ?(?:at|snabel-?a) ?[\])}] ?)"
_ADDRESS = re.compile(
    rf"(\"(?:[^\"\\\r\n]|\\.)+\"|[^\s<>\"(),;:@\[\]\uff20]{{1,128}}?){_AT}"
    r"(\[[^\]\s]+\]|\w[\w-]*(?:\.\w[\w-]*)*)",
    re.IGNORECASE,
)
_MAY_BE_ADDRESS = re.compile(_AT, re.IGNORECASE)
_NUMBER = re.compile(r"[0-9a-f]{8}(?:-?[0-9a-f]{4}){3}-?[0-9a-f]{12}", re.IGNORECASE)
_PHONE = re.compile(r"(?<![\w-])\+?\d(?:[ ()./-]{0,2}\d){6,}(?![\w-])")
_GENITIVE = re.compile(r"['\u2019]?s$")
_WORD = re.compile(r"\w+(?:['\u2019-]\w+)*")
# Between words of one name: "Krog, Bo", "B. Krog", "Krog/Bo".
_JOINED = re.compile(r"[ \u00a0\t.,/]{1,3}")
_QUOTES = "'\u2018\u2019"
PHONE_DIGITS = 8
# "I", "A.": a letter is no name.
SHORTEST_NAME = 2


@dataclass(frozen=True, slots=True)
class Known:
    """Somebody by all that may stand for them in a text.

    A name that `stands_whole` may be anything, such as a firm's: a word of it alone is a word.
    """

    address: str
    name: str = ""
    phone: str = ""
    numbers: tuple[str, ...] = ()
    stands_whole: bool = False


@dataclass(slots=True)
class Pseudonyms:
    """Names for others in one package; the salt is thrown away with this object.

    `released` are the addresses of those who are shown as they are; `shown` those that were.
    """

    released: frozenset[str] = frozenset()
    replaced: Counter[str] = field(default_factory=Counter)
    shown: Counter[str] = field(default_factory=Counter)
    _salt: bytes = field(default_factory=lambda: secrets.token_bytes(16), repr=False)

    def told(self) -> list[dict[str, object]]:
        """Return what was replaced, as a manifest names it."""
        return [
            {"path": path, "reason": "another person", "count": count}
            for path, count in sorted(self.replaced.items())
        ]

    def instead_of(self, text: str, key: str, path: str) -> str:
        """Return what stands at `path` for the person of this key, who is called `text` there."""
        if key in self.released:
            self.shown[key] += 1
            return text
        return self.of(key, path)

    def of(self, value: object, path: str) -> str:
        """Return the name that stands for `value`, counting it as one replacement at `path`."""
        self.replaced[path] += 1
        return f"person-{hmac.digest(self._salt, str(value).encode(), 'sha256').hex()[:10]}"


class Circle:
    """Who is around a person, found by any word for them. The person's own words stand."""

    def __init__(self, own: Known, others: Iterable[Known] = (), kept: Iterable[str] = ()) -> None:
        """`kept` are texts that are no secret though a word of them may be somebody's name."""
        self.own = canonical(own.address)
        self._kept = {word for text in kept for word in _words(text)}
        self._by_mark: dict[str, str] = {}
        self._by_word: dict[str, set[str]] = {}
        self._by_one_word: set[str] = set()
        # Last: what two people have in common, such as a phone, is the person's own.
        for somebody in (*others, own):
            self.add(somebody)

    def add(self, somebody: Known) -> None:
        """Learn one more person."""
        key = canonical(somebody.address) or somebody.name
        if not somebody.stands_whole:
            self._by_one_word.add(key)
        for mark in (*somebody.numbers, _digits(somebody.phone)):
            if mark:
                self._by_mark[mark] = key
        for word in _words(somebody.name):
            self._by_word.setdefault(word, set()).add(key)

    def key_of(self, mark: str) -> str | None:
        """Return whom a number or the digits of a phone stand for, None when nobody known."""
        return self._by_mark.get(mark)

    def could_be(self, word: str) -> set[str]:
        """Return who may be meant by a word of a text, which may be in the genitive."""
        word = word.casefold()
        return self._by_word.get(word) or self._by_word.get(_GENITIVE.sub("", word), set())

    def called(self, text: str) -> str | None:
        """Return who alone has this phone number, or a name with all of these words."""
        words = [word[0] for word in _WORD.finditer(text)]
        people = set.intersection(*map(self.could_be, words)) if words else set()
        return self.key_of(_digits(text)) or (min(people) if len(people) == 1 else None)

    def stands(self, words: Iterable[str], people: set[str]) -> bool:
        """Say whether words that may name one of these people are left as they are."""
        words = list(words)
        if self.own in people or all(word.casefold() in self._kept for word in words):
            return True
        if len(words) > 1:
            return False
        # One word in small letters is a word; a whole name may be written without capitals.
        return not words[0][0].isupper() or people.isdisjoint(self._by_one_word)


@dataclass(slots=True)
class Redactor:
    """Cleans values of others, as the circle and the package know them."""

    circle: Circle
    pseudonyms: Pseudonyms

    def whole(self, text: str, path: str) -> str:
        """Return what stands for a text that is somebody's and nothing else."""
        key = canonical(text) if "@" in text else self.circle.called(text)
        return self.pseudonyms.instead_of(text, key or text, path)

    def clean(self, value: Value, path: str, numbers: set[str]) -> Value:
        """Return a value without anybody else; `numbers` are those of other people."""
        if isinstance(value, list):
            return [self.clean(item, path, numbers) for item in value]
        if isinstance(value, dict):
            return {
                self.clean_text(name, path, numbers): self.clean(item, path, numbers)
                for name, item in value.items()
            }
        return self.clean_text(value, path, numbers) if isinstance(value, str) else value

    def clean_text(self, text: str, path: str, numbers: set[str]) -> str:
        """Return a text without anybody else's address, number, phone or name."""
        if not text.isascii():
            text = unicodedata.normalize("NFC", text)
        if _MAY_BE_ADDRESS.search(text):
            text = _ADDRESS.sub(lambda found: self._address(found, path), text)
        text = _NUMBER.sub(lambda found: self._number(found[0], path, numbers), text)
        text = _PHONE.sub(lambda found: self._phone(found[0], path), text)
        return self._names(text, path)

    def _address(self, found: re.Match[str], path: str) -> str:
        local = found[1].lstrip(_QUOTES)
        before = found[1][: len(found[1]) - len(local)]
        address = canonical(f"{local}@{found[2]}")
        if address == self.circle.own:
            return found[0]
        return before + self.pseudonyms.instead_of(found[0][len(before) :], address, path)

    def _number(self, text: str, path: str, numbers: set[str]) -> str:
        number = _plain_number(text)
        key = self.circle.key_of(number)
        if key == self.circle.own or (key is None and number not in numbers):
            return text
        return self.pseudonyms.instead_of(text, key or number, path)

    def _phone(self, text: str, path: str) -> str:
        key = self.circle.key_of(_digits(text))
        if key is None or key == self.circle.own:
            return text
        return self.pseudonyms.instead_of(text, key, path)

    def _names(self, text: str, path: str) -> str:
        parts, end = [], 0
        for words in self._runs(text):
            begins, ends = words[0].start(), words[-1].end()
            parts += [text[end:begins], self._name(text[begins:ends], words, path)]
            end = ends
        return "".join(parts) + text[end:]

    def _runs(self, text: str) -> Iterator[list[re.Match[str]]]:
        """Yield the words that may name somebody, those of one name together."""
        run: list[re.Match[str]] = []
        for word in _WORD.finditer(text):
            if not self.circle.could_be(word[0]):
                continue
            joined = run and _JOINED.fullmatch(text, run[-1].end(), word.start())
            if run and not (joined and self._people([*run, word])):
                yield run
                run = []
            run.append(word)
        if run:
            yield run

    def _people(self, words: list[re.Match[str]]) -> set[str]:
        """Return who has all of these words in their name."""
        return set.intersection(*(self.circle.could_be(word[0]) for word in words))

    def _name(self, text: str, words: list[re.Match[str]], path: str) -> str:
        """Return what stands for a name: of the one who has all its words, or of the words."""
        people = self._people(words)
        if self.circle.stands((word[0] for word in words), people):
            return text
        released = people <= self.pseudonyms.released
        key = min(people) if released or len(people) == 1 else text.casefold()
        return self.pseudonyms.instead_of(text, key, path)


def numbers_in(text: str) -> set[str]:
    """Return the random numbers in a text, in the form in which they are compared."""
    return {_plain_number(number) for number in _NUMBER.findall(text)}


def _plain_number(text: str) -> str:
    plain = text.lower().replace("-", "")
    return "-".join((plain[:8], plain[8:12], plain[12:16], plain[16:20], plain[20:]))


def canonical(address: str) -> str:
    """Return an address in the one form in which two are compared."""
    local, at, domain = normalised(address).rpartition("@")
    bare = local[1:-1]
    if local[:1] == local[-1:] == '"' and bare and not set(bare) & set(' "(),:;<>@[\\]'):
        local = bare
    return f"{local}{at}{domain}"


def _digits(phone: str) -> str:
    """Return the last digits of a phone number, which are the same with and without a prefix."""
    digits = "".join(character for character in phone if character.isdecimal())
    return digits[-PHONE_DIGITS:] if len(digits) >= PHONE_DIGITS - 1 else ""


def _words(name: str) -> set[str]:
    found = _WORD.findall(unicodedata.normalize("NFC", name))
    # Of a double name a half may be used alone.
    halves = [half for word in found for half in word.split("-")]
    return {word.casefold() for word in (*found, *halves) if len(word) >= SHORTEST_NAME}
