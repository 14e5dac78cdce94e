"""`xharness plan`: time, memory and disk of training and evaluation."""
