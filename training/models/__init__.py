"""The served model of every kind and flavour: prep, four swappable parts (dense, embed, inter, over) and a head."""
