# SPDX-License-Identifier: AGPL-3.0-or-later
"""Who plays in the demo: two organisations that must not see each other, and one of the staff."""

from __future__ import annotations

from dataclasses import dataclass

from accounts.signup import Company


@dataclass(frozen=True, slots=True)
class Person:
    email: str
    first_name: str
    last_name: str


@dataclass(frozen=True, slots=True)
class Customer:
    """An organisation, its owner and the domain it sends from."""

    company: Company
    domain: str
    owner: Person

    @property
    def sender(self) -> str:
        return f"hej@{self.domain}"


CUSTOMER = Customer(
    company=Company(
        name="Skovgaard Papir ApS",
        address="Bøgevej 7",
        postcode="8000",
        city="Aarhus C",
        country="DK",
    ),
    domain="skovgaard.example",
    owner=Person("anna@skovgaard.example", "Anna", "Skovgaard"),
)
OTHER = Customer(
    company=Company(
        name="Havnens Kaffe A/S",
        address="Kajen 3",
        postcode="9000",
        city="Aalborg",
        country="DK",
    ),
    domain="havnen.example",
    owner=Person("carl@havnen.example", "Carl", "Berg"),
)
STAFF = Person("dorte@brevdue.example", "Dorte", "Drift")
