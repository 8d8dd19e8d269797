"""Prompt packs: text and JSON as people write them, read once into typed values. Pure.

Come in by `pack.parse_pack`, or `pack.read_pack` for files. Imports: `jobs.records.record`.
"""
