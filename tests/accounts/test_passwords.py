# SPDX-License-Identifier: AGPL-3.0-or-later
from __future__ import annotations

import re

import pytest
from django.contrib.auth.password_validation import (
    password_validators_help_texts,
    validate_password,
)
from django.core.exceptions import ImproperlyConfigured, ValidationError
from pytest_django.fixtures import Settings

from accounts import passwords
from accounts.models import User


@pytest.mark.parametrize(
    ("password", "good"),
    [
        ("tolv-tegn-27", True),
        ("elleve-t-27", False),
        ("ingen-tal-i-denne", False),
        ("et-tal-i-denne-7", False),
        ("password123456", False),
        ("anna@due.example12", False),
    ],
)
def test_rule(password: str, good: bool) -> None:
    user = User(email="anna@due.example", first_name="Anna", last_name="Due")
    if good:
        validate_password(password, user)
    else:
        with pytest.raises(ValidationError):
            validate_password(password, user)


def test_rule_names_its_figures() -> None:
    texts = " ".join(password_validators_help_texts())
    assert "12" in texts
    assert "2" in texts


def test_operator_may_go_down_to_the_floor_only(settings: Settings) -> None:
    settings.PASSWORD_LENGTH = 8
    validate_password("otte--27")
    settings.PASSWORD_LENGTH = 7
    with pytest.raises(ImproperlyConfigured):
        validate_password("tolv-tegn-27")


def test_codes_are_long_random_and_legible() -> None:
    codes = {passwords.new_code(4) for _ in range(1000)}
    assert len(codes) == 1000
    assert all(re.fullmatch(r"([a-hjkmnp-z2-9]{5}-){3}[a-hjkmnp-z2-9]{5}", code) for code in codes)
