"""The kinds of work that a node can take."""

from __future__ import annotations

from django.db.models import TextChoices


class WorkKind(TextChoices):
    """What a node takes: jobs of another kind wait for another node."""

    IMAGE = "image", "Images"
    I2V = "i2v", "Image to video"
    EDIT = "edit", "Edits"
