"""Fails on import, as a plugin with a missing dependency does."""

raise ImportError("fokker_broken fails on purpose")
