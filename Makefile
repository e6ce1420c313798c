.PHONY: check docs screenshots bench bench-gui bench-pages bench-scale bench-checks crashes resume stops bad-input fuzz
check:
	./setup.sh test

# The documents that follow from the declarations of the options. On Windows: .venv\Scripts\python docs\make_docs.py
docs:
	.venv/bin/python docs/make_docs.py

# The pictures of the page in the READMEs: the example project, run for real in a browser.
screenshots:
	.venv/bin/python docs/make_screenshots.py

# Every stage beside the bare computation. On a GPU: python -m benchmarks --device cuda. Results: docs/performance.md.
bench:
	.venv/bin/python -m benchmarks

# How fast the page is, beside an empty Gradio app. Results: docs/performance.md.
bench-gui:
	.venv/bin/python benchmarks/gui.py

# Two hundred open pages while a run goes on.
bench-pages:
	.venv/bin/python -m benchmarks.open_pages

# A million entries of metadata, and a folder of 200,000 files.
bench-scale:
	.venv/bin/python -m benchmarks.scale

# How fast a second run sees that nothing has changed.
bench-checks:
	.venv/bin/python -m benchmarks.checks

# What docs/robustness.md promises, tried more often than the tests do.
crashes:
	.venv/bin/python -m benchmarks.crashes --kills 200 --jobs 2

resume:
	.venv/bin/python -m benchmarks.resume --steps 8

stops:
	.venv/bin/python -m benchmarks.stops

bad-input:
	.venv/bin/python -m benchmarks.bad_input --minutes 20

fuzz:
	.venv/bin/python -m benchmarks.fuzz --minutes 2
