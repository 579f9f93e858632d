"""Tests of the layer that changes the disk."""
