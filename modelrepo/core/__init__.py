"""Values and rules: no disk, no clock, no environment. What they need comes in as arguments."""
