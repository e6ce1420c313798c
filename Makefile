.PHONY: check docs screenshots bench-gui
check:
	./setup.sh test

# The documents that follow from the declarations of the options. On Windows: .venv\Scripts\python docs\make_docs.py
docs:
	.venv/bin/python docs/make_docs.py

# The pictures of the page in the READMEs: the example project, run for real in a browser.
screenshots:
	.venv/bin/python docs/make_screenshots.py

# How fast the page is, beside an empty Gradio app. Results: docs/performance.md.
bench-gui:
	.venv/bin/python benchmarks/gui.py
