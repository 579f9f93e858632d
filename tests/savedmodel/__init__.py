"""The inspector: what reads, scans, loads and runs models."""
