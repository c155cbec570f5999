"""The data set, the models of every kind, their training, calibration and evaluation."""
