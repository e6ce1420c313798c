.PHONY: check
check:
	./setup.sh test
