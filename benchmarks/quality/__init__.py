"""Quality on published tables and as a shop lives."""
