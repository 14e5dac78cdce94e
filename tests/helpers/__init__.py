"""What tests of several rooms share: data, models, runs and a Hub, all made up and small."""
