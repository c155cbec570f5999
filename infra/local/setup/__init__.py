"""What `make` installs, and what it needs before."""
