"""What this package costs, measured in one run with what else stores conversations."""
