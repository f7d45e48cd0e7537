"""Plain data about a run: events, the record derived from them, texts for people, and receipts."""
