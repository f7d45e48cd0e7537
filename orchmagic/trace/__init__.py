"""What happened in a run: events, the record they fold into, and its words and receipts. Plain data."""
