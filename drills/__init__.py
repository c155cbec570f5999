"""Drills: the platform is changed and its programs are killed while traffic runs; what a user sees is checked."""
