"""What a user may ask of a deployment: that it forgets them (docs/privacy.md)."""
