"""What things cost, measured against the plain way in one run."""
