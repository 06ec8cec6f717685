"""What segments, value tiers and the language model are worth: the engine with them, without them, and with shuffled groups."""
