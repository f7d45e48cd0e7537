"""The OpenAI chat protocol: writes requests, reads answers, usage and errors."""
