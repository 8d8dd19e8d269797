"""Rows back as text, to ask whether a text and what was read out of it mean the same."""

from __future__ import annotations

from collections.abc import Iterable

from jobs.packs.grammar import PackRow
from jobs.packs.tags import EmbeddingTag, WrittenLora


def render_rows(rows: Iterable[PackRow]) -> str:
    """The text that parses to these rows again."""
    blocks = []
    for row in rows:
        lines = [_joined(row.positive_embeddings), *row.positive_lines, _joined(row.loras)]
        lines += [f"neg: {_joined(row.negative_embeddings)}"] if row.negative_embeddings else []
        lines += [f"neg: {words}" for words in row.negative_lines]
        blocks.append("".join(f"{line}\n" for line in lines if line))
    return "\n".join(blocks)


def _joined(tags: Iterable[EmbeddingTag | WrittenLora]) -> str:
    return " ".join(map(str, tags))
