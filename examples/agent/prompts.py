"""What the agent says. Edit it while it talks, save, and ask again."""

OPENING = "I looked that up for you."
SIGN_OFF = ""

# what is said of each tool's result
SENTENCES = {
    "calculator": "I make it {result}.",
    "calendar": "The calendar says: {result}.",
    "weather": "{result}.",
    "notes": "In the notes I found this: {result}",
}

INTRODUCTION = (
    "I am a small agent with a few tools. I read your question, make a plan, call one tool after the other, and tell "
    "you what they found. I can {tools}. You may ask for several things at once, and go on with “and in Oslo?”. I "
    "never leave this machine, I make nothing up, and while I am talking to you somebody may well be rewriting me: "
    "this sentence ends with the code that it began with, and the next answer comes from the new one."
)
AT_A_LOSS = "I have no tool for that. I can {tools}."
