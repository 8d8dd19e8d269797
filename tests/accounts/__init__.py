"""Ten failures from real runs, each told by its bundle alone: `docs/failures.md`."""
