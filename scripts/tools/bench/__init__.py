"""What `scripts/bench` measures, a module each; every module has `main(arguments) -> exit status`."""
