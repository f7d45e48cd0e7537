"""The cost of an answer: the price list, a model's rates, and the arithmetic."""
