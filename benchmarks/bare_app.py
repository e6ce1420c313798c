"""What the page is measured against: a Gradio app with two tabs, the second one empty or with fields of Gradio's own.

`python bare_app.py PORT [KIND ...]`: one field for each KIND (bool, choice, number or text).
"""

import os
import sys
from collections.abc import Callable
from typing import Any

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"

import gradio as gr

FIELDS: dict[str, Callable[[str], Any]] = {
    "bool": lambda label: gr.Checkbox(label=label),
    "choice": lambda label: gr.Dropdown(["one", "two"], value="one", label=label),
    "number": lambda label: gr.Number(label=label),
    "text": lambda label: gr.Textbox(label=label),
}


def main(port: int, kinds: list[str]) -> None:
    with gr.Blocks(analytics_enabled=False) as app, gr.Tabs():
        with gr.Tab("First", id="first"):
            gr.Button("Nothing", elem_id="nothing")
        with gr.Tab("Second", id="second"):
            gr.Button("Something", elem_id="something")
            for i, kind in enumerate(kinds):
                FIELDS[kind](f"Field {i}")
    app.launch(server_name="127.0.0.1", server_port=port, quiet=True, ssr_mode=False)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
