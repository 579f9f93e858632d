"""What `scripts/bench` measures with, what it measures, and how it tells it."""
