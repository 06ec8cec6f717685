"""Who the customer is: orders, reviews and messages in, one `CustomerProfile` per customer out. Imports nothing of ours."""
