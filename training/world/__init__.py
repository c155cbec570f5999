"""A generated ad market whose click rates are known, so that what learns from it has a best possible answer."""
