"""The data set, and how it is delivered, published and replayed."""
