"""What an answer cost: usage, price list, arithmetic."""
