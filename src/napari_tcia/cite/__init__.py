"""Credit: what to cite for the data that is open, and in which form."""
