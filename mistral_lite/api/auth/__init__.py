"""Who calls: one way to find out, chosen by the operator, and the contexts that it makes."""
