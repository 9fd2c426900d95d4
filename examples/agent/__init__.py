"""An agent that plans, uses tools and streams its answer, while you edit it."""
