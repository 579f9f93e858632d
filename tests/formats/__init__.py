"""Repositories of every released format."""
