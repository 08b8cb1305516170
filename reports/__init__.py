"""An audit's result, rendered for people: HTML, Markdown, terminal. No maths in this room."""
