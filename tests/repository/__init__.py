"""The operations, on real files and with real processes."""
