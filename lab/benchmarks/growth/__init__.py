"""How the cost of training, reports and searches grows with what they are given."""
