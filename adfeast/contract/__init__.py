"""What passes between the parts: definitions, signatures, events, snapshots, ids and names."""
