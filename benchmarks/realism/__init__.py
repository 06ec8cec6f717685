"""Does a planted shop look like a real one? Purchase behaviour of shop folders, side by side."""
