.PHONY: check docs
check:
	./setup.sh test

# The documents that follow from the declarations of the options. On Windows: .venv\Scripts\python docs\make_docs.py
docs:
	.venv/bin/python docs/make_docs.py
