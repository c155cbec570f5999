"""Drills: the platform runs with traffic while it is changed and its programs are killed; what a user sees is checked."""
