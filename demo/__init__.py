"""The loop, played once on real click data: the data set, the replay, the story and its report."""
