"""The steps of the story, each a function of the run; what a step does is done by the part it calls."""
