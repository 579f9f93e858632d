"""Every change, killed at its system calls."""
