"""A small pack: two actions and a function for expressions."""

from mistral_lib.actions import Action, Result


class Hello(Action):
    """Says hello."""

    def __init__(self, name, greeting="hello"):
        self.name = name
        self.greeting = greeting

    def run(self, context):
        if not self.name:
            return Result(error="Whom am I to greet? 'name' is empty.")
        return f"{self.greeting} {self.name}"


class Ask(Action):
    """Asks somebody, who answers later by the callback URL; until then the task runs."""

    def __init__(self, question):
        self.question = question

    def run(self, context):
        print(f"{self.question} Answer to {context.execution.callback_url}", flush=True)

    def is_sync(self):
        return False


def shout(context, text):
    """Return a text as it is shouted. Expressions say: <% shout($.name) %>."""
    return text.upper() + "!"
