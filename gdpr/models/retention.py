# SPDX-License-Identifier: AGPL-3.0-or-later
"""What was forgotten, and how far every table is from the end of its period. Figures only."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _

# As long as the audit trail: a year to look back on, and a month to ask in.
RUN_KEPT_DAYS = 396


class RetentionRun(models.Model):
    """One look through one table: how many rows went. Unfinished after a crash, then gone on."""

    what = models.CharField(_("table"), max_length=80)
    started_at = models.DateTimeField(_("started"))
    finished_at = models.DateTimeField(_("finished"), null=True)
    rows = models.PositiveBigIntegerField(_("rows deleted"), default=0)

    class Meta:
        verbose_name = _("retention run")
        verbose_name_plural = _("retention")
        constraints = [
            models.UniqueConstraint(
                name="retentionrun_one_unfinished",
                fields=["what"],
                condition=models.Q(finished_at=None),
            )
        ]
        indexes = [models.Index(fields=["what", "-started_at"], name="retentionrun_newest")]

    def __str__(self) -> str:
        return f"{self.what} {self.pk}"


class RetentionGauge(models.Model):
    """How a table stood when it was last measured: nothing may be older than its period."""

    what = models.CharField(_("table"), max_length=80, primary_key=True)
    measured_at = models.DateTimeField(_("measured"))
    oldest_at = models.DateTimeField(_("oldest row counts from"), null=True)
    # The age of the oldest row minus the period: never above zero. Empty where there is no row.
    over_seconds = models.BigIntegerField(_("seconds over the period"), null=True)
    due = models.PositiveBigIntegerField(_("rows the next run deletes"))

    class Meta:
        verbose_name = _("retention gauge")
        verbose_name_plural = _("retention gauges")

    def __str__(self) -> str:
        return self.what

    @property
    def holds(self) -> bool:
        return self.over_seconds is None or self.over_seconds <= 0
