"""What segments and value tiers are worth: the engine with them, without them, and with shuffled ones."""
