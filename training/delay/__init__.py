"""Learning from clicks that are still to come: how long they take, and what an impression says before it is known."""
