"""The OpenAI chat protocol: requests out, answers and errors in."""
