"""What all parts of Adfeast share: definitions, signature, events, snapshots, settings, ids, clock, errors."""
