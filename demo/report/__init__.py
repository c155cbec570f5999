"""What a run found out, as figures and as a page."""
