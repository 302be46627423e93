"""Attribution: how much each feature of an example weighs in the probability of each class."""
